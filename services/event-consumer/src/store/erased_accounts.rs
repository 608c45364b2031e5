//! Table `erased_accounts`.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

/// Those of `ids` that were erased, each with its pseudonym while that is known. Nobody adds one until the transaction ends.
pub(crate) async fn among(
    db: impl PgExecutor<'_>,
    ids: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Option<Uuid>>> {
    // `for key share` takes the lock of the table that `add` waits for, before the statement's snapshot is taken.
    let rows = sqlx::query!(
        "select account_id, pseudonym from erased_accounts where account_id = any ($1) for key share",
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.account_id, row.pseudonym))
        .collect())
}

/// Adds an account, when the transactions of all who have looked for one have ended: what they record is seen by whoever pseudonymises
/// afterwards. One that is there keeps its pseudonym, unless that was forgotten.
pub(crate) async fn add(
    connection: &mut PgConnection,
    account: Uuid,
    pseudonym: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!("lock table erased_accounts in exclusive mode")
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into erased_accounts (account_id, pseudonym) values ($1, $2)
         on conflict (account_id) do update set pseudonym = coalesce(erased_accounts.pseudonym, excluded.pseudonym)",
        account,
        pseudonym,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets whose pseudonym it was.
pub(crate) async fn forget_pseudonym(db: impl PgExecutor<'_>, account: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update erased_accounts set pseudonym = null where account_id = $1",
        account,
    )
    .execute(db)
    .await?;
    Ok(())
}
