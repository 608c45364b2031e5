//! Table revocations. A reader finds what was committed since its last snapshot, in whatever order transactions end: a cursor over
//! ids would lose entries that commit late.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// The snapshot before everything: a reader that begins here gets all that is live.
pub(crate) const BEGINNING: &str = "1:1:";

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Every token of a session.
    Session(Uuid),
    /// Every token of an account with a lower version.
    Account { id: Uuid, min_version: i64 },
    /// Every token signed with a key.
    Key(String),
}

/// A live entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) target: Target,
    pub(crate) expires_at: OffsetDateTime,
}

/// Revokes until every token that was signed before has expired: `longest_token` seconds and a minute from the database's time.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    target: &Target,
    longest_token: f64,
) -> Result<(), sqlx::Error> {
    let (session, account, min_version, kid) = match target {
        Target::Session(session) => (Some(*session), None, None, None),
        Target::Account { id, min_version } => (None, Some(*id), Some(*min_version), None),
        Target::Key(kid) => (None, None, None, Some(kid.as_str())),
    };
    sqlx::query!(
        "insert into revocations (session_id, account_id, min_version, kid, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5::float8 + 60))",
        session,
        account,
        min_version,
        kid,
        longest_token,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// What a reader learns at once: everything in one statement, hence in one snapshot.
pub(crate) struct News {
    /// To read on from.
    pub(crate) snapshot: String,
    /// Generation of the set of verification keys.
    pub(crate) generation: i64,
    pub(crate) revocations: Vec<Revocation>,
}

/// The live entries that were committed after `snapshot`. Entries of transactions that were running then are found by their id,
/// so an idle transaction does not make a read longer.
pub(crate) async fn since(
    executor: impl PgExecutor<'_>,
    snapshot: &str,
) -> Result<News, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select pg_current_snapshot()::text as "snapshot!",
                  (select generation from key_set) as "generation!",
                  r.session_id as "session_id?", r.account_id as "account_id?", r.min_version as "min_version?",
                  r.kid as "kid?", r.expires_at as "expires_at?"
           from (values (1)) as one (n)
           left join (
               select * from revocations where xid >= pg_snapshot_xmax($1::text::pg_snapshot) and expires_at > now()
               union all
               select * from revocations
               where xid = any (array(select pg_snapshot_xip($1::text::pg_snapshot))) and expires_at > now()
           ) as r on true"#,
        snapshot,
    )
    .fetch_all(executor)
    .await?;

    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(News {
        snapshot: first.snapshot.clone(),
        generation: first.generation,
        revocations: rows
            .into_iter()
            .filter_map(|row| {
                let target = match (row.session_id, row.account_id, row.min_version, row.kid) {
                    (Some(session), ..) => Target::Session(session),
                    (_, Some(id), Some(min_version), _) => Target::Account { id, min_version },
                    (.., Some(kid)) => Target::Key(kid),
                    _ => return None,
                };
                Some(Revocation {
                    target,
                    expires_at: row.expires_at?,
                })
            })
            .collect(),
    })
}

/// Wakes the readers of all replicas. A statement of its own, after the commit: inside a transaction NOTIFY takes a lock that all
/// committing transactions share.
pub(crate) async fn notify(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify('grimoire_trust', '')")
        .execute(executor)
        .await
        .map(drop)
}

/// The channel of [`notify`].
pub(crate) const CHANNEL: &str = "grimoire_trust";

/// Deletes entries that no token needs any more.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from revocations where id = any (array(
             select id from revocations where expires_at < now() - interval '5 minutes'
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
