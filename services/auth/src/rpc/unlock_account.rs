//! AdminService.UnlockAccount: what was locked or disabled can be used again.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{UnlockAccountRequest, UnlockAccountResponse};
use grimoire_proto::events::v1::AccountUnlocked;

use super::{AdminApi, managed_on_the_wire};
use crate::administration::{announce, by, lock};
use crate::error::Error;
use crate::store::accounts::administration;

/// Succeeds again and again; only the first time something happens.
pub(super) async fn unlock_account(
    api: &AdminApi,
    caller: &Caller,
    request: &UnlockAccountRequest,
) -> Result<UnlockAccountResponse, Error> {
    let account = caller.own(&request.account)?.0;

    let mut transaction = api.pool.begin().await?;
    let found = lock(&mut transaction, caller, account).await?;
    if !found.held {
        return Ok(UnlockAccountResponse {
            account: Some(managed_on_the_wire(found)),
        });
    }
    let unlocked = administration::release(&mut *transaction, account).await?;
    let event = AccountUnlocked {
        account_id: account.to_string(),
        by_account_id: by(caller),
    };
    announce(&mut transaction, &unlocked, &event).await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(UnlockAccountResponse {
        account: Some(managed_on_the_wire(unlocked)),
    })
}
