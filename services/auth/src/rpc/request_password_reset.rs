//! AccountService.RequestPasswordReset: a mail to the owner of the address, if there is one.

use grimoire_proto::auth::v1::{RequestPasswordResetRequest, RequestPasswordResetResponse};

use super::AccountApi;
use crate::email::Email;
use crate::error::Error;
use crate::mail_cap::one_more_mail;
use crate::reset_mail::{self, ResetMail};
use crate::store::{accounts, address_state};

/// Both paths, for an address with an account and for one without, read and write the same rows and commit once; the mail of the
/// latter turns out to be obsolete when it is due.
pub(super) async fn request_password_reset(
    api: &AccountApi,
    request: RequestPasswordResetRequest,
) -> Result<RequestPasswordResetResponse, Error> {
    let email = Email::parse(&request.email)?;
    let address = api.pseudonyms.address(&email);

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    let Some((mails, mails_since)) = one_more_mail(&state) else {
        transaction.commit().await?;
        api.capped_mails.inc();
        return Ok(RequestPasswordResetResponse {});
    };
    let version =
        address_state::count_mail(&mut *transaction, address.as_bytes(), mails, mails_since)
            .await?;
    let account = accounts::find(&mut *transaction, &email).await?;
    let mail = ResetMail {
        email: &email,
        address: &address,
        account,
        version,
        now: state.now,
    };
    reset_mail::ask(&mut transaction, &api.mail_tokens, &mail).await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(RequestPasswordResetResponse {})
}
