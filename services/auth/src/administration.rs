//! What administrators do to accounts has in common: who may, and what follows from it.

use chassis::caller::Caller;
use prost::{Message, Name};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Error;
use crate::roles::ADMIN;
use crate::store::accounts::administration::{self, Managed};
use crate::store::revocations::{self, Target};
use crate::tokens::LONGEST_ACCESS_TOKEN;
use crate::topics;

/// The account that a request names. What would shut the caller out is for another administrator to do.
pub(crate) fn another(caller: &Caller, account: &str, what: &'static str) -> Result<Uuid, Error> {
    let account = caller.own(account)?;
    if Some(account) == caller.subject {
        return Err(Error::OwnAccount(what));
    }
    Ok(account.0)
}

/// Locks an account that was not deleted, and the caller's beside it. A token may show a role that was taken a moment ago, so the caller's
/// row decides; and of two administrators who demote each other at once one stays.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    caller: &Caller,
    account: Uuid,
) -> Result<Managed, Error> {
    let own = caller.account()?.0;
    let mut rows = administration::lock(&mut *connection, &[own, account]).await?;
    let may = |row: &Managed| row.id == own && !row.held && row.roles.iter().any(|r| r == ADMIN);
    if !rows.iter().any(may) {
        return Err(Error::RoleRequired);
    }
    rows.iter()
        .position(|row| row.id == account)
        .map(|place| rows.swap_remove(place))
        .filter(|row| !row.deleted)
        .ok_or(Error::NotFound("account"))
}

/// What `by_account_id` of an event says.
pub(crate) fn by(caller: &Caller) -> String {
    caller.subject.map(|id| id.to_string()).unwrap_or_default()
}

/// Appends the event of a change.
pub(crate) async fn announce<M: Message + Name>(
    connection: &mut PgConnection,
    account: &Managed,
    event: &M,
) -> Result<(), Error> {
    outbox::append(
        connection,
        &topics::ACCOUNT,
        &account.id.to_string(),
        account.event_version,
        event,
    )
    .await?;
    Ok(())
}

/// Tells gateways that access tokens from before the change are outdated.
pub(crate) async fn outdate_tokens(
    connection: &mut PgConnection,
    account: &Managed,
) -> Result<(), Error> {
    let outdated = Target::Account {
        id: account.id,
        min_version: account.security_version,
    };
    revocations::insert(connection, &outdated, LONGEST_ACCESS_TOKEN.as_secs_f64()).await?;
    Ok(())
}
