use sqlx::PgPool;

/// What [`rebase`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebased {
    /// Number of the new stream.
    pub generation: i64,
    /// Rows that will be published, some of them perhaps for the second time.
    pub entries: u64,
}

/// Makes a restored database publish again: everything that is left in its outbox, under a new generation.
///
/// A restore rewinds the versions of aggregates, so subscribers must not compare the new ones with what they had seen; the
/// generation tells them. It rewinds transaction ids too, so the rows get the id of this transaction. A relay that holds the
/// lease is fenced.
pub async fn rebase(pool: &PgPool) -> Result<Rebased, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // The clock and not a count: a second restore from an older backup would count to the same number again.
    let generation = sqlx::query_scalar!(
        r#"update outbox.relay
           set holder = null, epoch = epoch + 1, expires_at = '-infinity', lo = '1:1:', hi = null, done_seq = 0, origin = null,
               generation = greatest(generation + 1, extract(epoch from clock_timestamp())::bigint)
           where singleton
           returning generation"#
    )
    .fetch_one(&mut *transaction)
    .await?;
    let entries = sqlx::query!("update outbox.entries set xid = pg_current_xact_id()")
        .execute(&mut *transaction)
        .await?
        .rows_affected();
    transaction.commit().await?;
    Ok(Rebased {
        generation,
        entries,
    })
}
