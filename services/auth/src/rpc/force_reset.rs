//! AdminService.ForceReset: nobody knows the password any more, every session ends, and the owner chooses another one by mail.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{ForceResetRequest, ForceResetResponse};
use grimoire_proto::events::v1::PasswordChanged;

use super::AdminApi;
use crate::administration::{announce, by, lock, outdate_tokens};
use crate::email::Email;
use crate::error::Error;
use crate::mail_cap::one_more_mail;
use crate::password::Password;
use crate::reset_mail::{self, ResetMail};
use crate::store::accounts::administration;
use crate::store::{accounts, address_state, password_resets, sessions};

/// The password is replaced by a real one, so that a sign-in is refused like any other, in the same time.
pub(super) async fn force_reset(
    api: &AdminApi,
    caller: &Caller,
    request: &ForceResetRequest,
) -> Result<ForceResetResponse, Error> {
    let account = caller.own(&request.account)?.0;
    let person = accounts::person(&api.pool, account)
        .await?
        .ok_or(Error::NotFound("account"))?;
    let email = Email::parse(&person.email).map_err(|_| Error::NotFound("address"))?;
    let address = api.pseudonyms.address(&email);
    let hash = api.passwords.rehash(Password::unknown()?).await?;

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    // An administrator's mail goes out also when the address has had its mails of the hour.
    let (mails, mails_since) =
        one_more_mail(&state).unwrap_or((state.mails, state.mails_since.unwrap_or(state.now)));
    let version =
        address_state::count_mail(&mut *transaction, address.as_bytes(), mails, mails_since)
            .await?;
    password_resets::supersede(&mut *transaction, address.as_bytes()).await?;
    sessions::end_all(&mut *transaction, account, None).await?;
    let found = lock(&mut transaction, caller, account).await?;
    if found.email != person.email {
        return Err(Error::StaleEtag);
    }
    let changed = administration::replace_password(&mut *transaction, account, &hash).await?;
    let event = PasswordChanged {
        account_id: account.to_string(),
        session_id: String::new(),
        by_account_id: by(caller),
    };
    announce(&mut transaction, &changed, &event).await?;
    outdate_tokens(&mut transaction, &changed).await?;
    let mail = ResetMail {
        email: &email,
        address: &address,
        account: Some(account),
        version,
        now: state.now,
    };
    reset_mail::ask(&mut transaction, &api.mail_tokens, &mail).await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(ForceResetResponse {})
}
