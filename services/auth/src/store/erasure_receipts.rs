//! Table erasure_receipts.

use sqlx::PgExecutor;
use uuid::Uuid;

/// Notes a receipt, or that it came again.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    service: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into erasure_receipts (account_id, service) values ($1, $2)
         on conflict (account_id, service) do update set received_at = now()",
        account,
        service,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Takes back all receipts of an account but that of `kept`.
pub(crate) async fn take_back(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    kept: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from erasure_receipts where account_id = $1 and service <> $2",
        account,
        kept,
    )
    .execute(executor)
    .await
    .map(drop)
}
