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
/// lease is fenced. Takes as long as the rows are many, whatever `statement_timeout` the pool has.
pub async fn rebase(pool: &PgPool) -> Result<Rebased, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    // After a long outage there are millions of rows, and it is an operator who waits, not a caller.
    sqlx::raw_sql("set local statement_timeout = 0")
        .execute(&mut *transaction)
        .await?;
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

/// Why [`resume`] did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The cursor speaks of transactions that this database never had.
    #[error(
        "this database is another one than the cursor's, or older than it: only `outbox rebase` makes it publish again"
    )]
    Rewound,
    /// PostgreSQL did not do it.
    #[error("the outbox could not be resumed: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes the relay go on where it was, after a fail-over without a loss: same stream, nothing published twice. A relay that holds
/// the lease is fenced.
///
/// That nothing was lost is the operator's word, such as for a standby that replicates synchronously. The database shows only that
/// it is of the same cluster, that its outbox was not restored from a dump, and that it has the transactions that the cursor knows.
///
/// # Errors
/// [`ResumeError::Rewound`] where one of these does not hold.
pub async fn resume(pool: &PgPool) -> Result<(), ResumeError> {
    let resumed = sqlx::query!(
        r#"update outbox.relay
           set holder = null, epoch = epoch + 1, expires_at = '-infinity', origin = null
           where singleton
             and (origin is null
                  or split_part(origin, '/', 1) = (select system_identifier::text from pg_control_system())
                     and split_part(origin, '/', 3) = 'outbox.relay'::regclass::oid::text)
             and pg_snapshot_xmax(lo) <= pg_snapshot_xmax(pg_current_snapshot())
             and (hi is null or pg_snapshot_xmax(hi) <= pg_snapshot_xmax(pg_current_snapshot()))"#
    )
    .execute(pool)
    .await?
    .rows_affected();
    if resumed == 1 {
        Ok(())
    } else {
        Err(ResumeError::Rewound)
    }
}
