//! UserDataService.EraseUser.

use grimoire_proto::events::v1::UserErased;
use grimoire_proto::user::v1::{EraseUserRequest, EraseUserResponse};
use uuid::Uuid;

use crate::error::{Error, Violation};
use crate::rpc::UserDataApi;
use crate::store::{activities, preferences, profiles};
use crate::topics;

/// Activities that one statement deletes, so that none runs long.
const AT_ONCE: i64 = 5_000;

/// Succeeds again and again; only the first time there is an event. It tells that nothing is to be seen any more. Activities are deleted
/// behind it, and a call that is cut off meanwhile is made again.
pub(super) async fn erase_user(
    UserDataApi { users, relay }: &UserDataApi,
    request: &EraseUserRequest,
) -> Result<EraseUserResponse, Error> {
    let account: Uuid = request
        .account
        .parse()
        .map_err(|_| Error::InvalidFields(vec![Violation::new("account", "is no account id")]))?;

    let mut transaction = users.pool.begin().await?;
    if let Some(event_version) = profiles::erase(&mut *transaction, account).await? {
        preferences::delete(&mut *transaction, account).await?;
        let event = UserErased {
            account_id: account.to_string(),
        };
        outbox::append(
            &mut transaction,
            &topics::PROFILE,
            &event.account_id,
            event_version,
            &event,
        )
        .await?;
        // Last, so that nobody waits to record while this waits for who changes the profile.
        activities::hold_off(&mut *transaction).await?;
    }
    transaction.commit().await?;
    relay.committed();

    while activities::delete(&users.pool, account, AT_ONCE).await? > 0 {}
    Ok(EraseUserResponse {})
}
