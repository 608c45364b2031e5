//! AdminService.LockAccount: nobody gets in for a time, and nothing ends.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{LockAccountRequest, LockAccountResponse};
use grimoire_proto::events::v1::AccountLocked;

use super::{AdminApi, managed_on_the_wire};
use crate::administration::{announce, another, by, lock, outdate_tokens};
use crate::error::Error;
use crate::store::accounts::administration;

/// Succeeds again and again; only the first time something happens. A disabled account stays disabled.
pub(super) async fn lock_account(
    api: &AdminApi,
    caller: &Caller,
    request: &LockAccountRequest,
) -> Result<LockAccountResponse, Error> {
    let account = another(caller, &request.account, "lock")?;

    let mut transaction = api.pool.begin().await?;
    let found = lock(&mut transaction, caller, account).await?;
    if found.held {
        return Ok(LockAccountResponse {
            account: Some(managed_on_the_wire(found)),
        });
    }
    let locked = administration::hold(&mut *transaction, account, true).await?;
    let event = AccountLocked {
        account_id: account.to_string(),
        by_account_id: by(caller),
    };
    announce(&mut transaction, &locked, &event).await?;
    outdate_tokens(&mut transaction, &locked).await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(LockAccountResponse {
        account: Some(managed_on_the_wire(locked)),
    })
}
