//! AdminService.DisableAccount: out of use, and every session ends.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{DisableAccountRequest, DisableAccountResponse};
use grimoire_proto::events::v1::AccountDisabled;

use super::{AdminApi, managed_on_the_wire};
use crate::administration::{announce, another, by, lock, outdate_tokens};
use crate::email::Email;
use crate::error::Error;
use crate::store::accounts::administration;
use crate::store::{accounts, address_state, sessions};

/// Succeeds again and again; only the first time something happens.
pub(super) async fn disable_account(
    api: &AdminApi,
    caller: &Caller,
    request: &DisableAccountRequest,
) -> Result<DisableAccountResponse, Error> {
    let account = another(caller, &request.account, "disable")?;
    let person = accounts::person(&api.pool, account)
        .await?
        .ok_or(Error::NotFound("account"))?;

    let mut transaction = api.pool.begin().await?;
    // A sign-in that has begun ends first, and its session with the others. Nobody signs in by an address that is none.
    if let Ok(email) = Email::parse(&person.email) {
        let address = api.pseudonyms.address(&email);
        address_state::lock(&mut *transaction, address.as_bytes()).await?;
    }
    sessions::end_all(&mut *transaction, account, None).await?;
    let found = lock(&mut transaction, caller, account).await?;
    if found.held && !found.locked {
        return Ok(DisableAccountResponse {
            account: Some(managed_on_the_wire(found)),
        });
    }
    let disabled = administration::hold(&mut *transaction, account, false).await?;
    let event = AccountDisabled {
        account_id: account.to_string(),
        by_account_id: by(caller),
    };
    announce(&mut transaction, &disabled, &event).await?;
    outdate_tokens(&mut transaction, &disabled).await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(DisableAccountResponse {
        account: Some(managed_on_the_wire(disabled)),
    })
}
