//! The tables fill and empty all day, so the planner knows nothing of them. What is done for every job therefore looks each key up in a subquery of
//! its own, and changes the rows where it found them (`ctid`).

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::jobs::{Job, NewJob};

/// A key whose first job is ours until the lease ends.
pub(crate) struct Claimed {
    pub(crate) key: String,
    /// The transaction that wrote its row last: that of the claim, until a job is added or the claim is renewed.
    pub(crate) xmin: String,
    pub(crate) attempts: i32,
    pub(crate) refusals: i32,
}

/// What becomes of a claimed key whose job was not done.
pub(crate) struct PutOff<'a> {
    pub(crate) key: &'a str,
    /// Seconds until the next try; `None`: it is dead.
    pub(crate) delay: Option<f64>,
    pub(crate) attempts: i32,
    pub(crate) refusals: i32,
    pub(crate) reason: &'a str,
}

/// Adds jobs. The rows of their keys stay locked until the transaction ends, in the order of target and key, so that
/// nobody finishes a key as empty at the same time.
pub(crate) async fn enqueue(connection: &mut PgConnection, jobs: &[NewJob]) -> sqlx::Result<()> {
    let targets: Vec<&str> = jobs.iter().map(|job| job.target).collect();
    let keys: Vec<&str> = jobs.iter().map(|job| job.key.as_str()).collect();
    let event_ids: Vec<Uuid> = jobs.iter().map(|job| job.event_id).collect();
    let payloads: Vec<&[u8]> = jobs.iter().map(|job| job.payload.as_ref()).collect();
    let traceparents: Vec<Option<&str>> =
        jobs.iter().map(|job| job.traceparent.as_deref()).collect();
    sqlx::query!(
        r#"with locked as (
               insert into inbox.job_keys (target, key)
               select distinct target, key from unnest($1::text[], $2::text[]) as wanted (target, key) order by target, key
               on conflict (target, key) do update set key = excluded.key
           )
           insert into inbox.jobs (target, key, event_id, payload, traceparent)
           select target, key, event_id, payload, traceparent
           from unnest($1::text[], $2::text[], $3::uuid[], $4::bytea[], $5::text[]) with ordinality
               as wanted (target, key, event_id, payload, traceparent, place)
           order by place
           on conflict (target, event_id) do nothing"#,
        &targets[..] as _,
        &keys[..] as _,
        &event_ids[..],
        &payloads[..] as _,
        &traceparents[..] as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Claims up to `limit` keys that are due, for `lease` seconds of the database's time. One to which a job is added at this moment may be left out: who adds
/// it tells of it afterwards.
pub(crate) async fn claim(
    executor: impl PgExecutor<'_>,
    target: &str,
    claim: Uuid,
    lease: f64,
    limit: i64,
) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as!(
        Claimed,
        r#"with due as materialized (
               select ctid as place from inbox.job_keys where target = $1 and due_at <= now()
               order by due_at limit $4 for update skip locked
           )
           update inbox.job_keys as claimed set claim = $2, due_at = now() + make_interval(secs => $3)
           where ctid = any (array(select place from due))
           returning claimed.key as "key!", claimed.xmin::text as "xmin!", claimed.attempts as "attempts!", claimed.refusals as "refusals!""#,
        target,
        claim,
        lease,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// The first job of each of `keys`. A statement of its own, after the claim: in the claim's own snapshot a job that
/// somebody has just finished might still be seen.
pub(crate) async fn first(
    executor: impl PgExecutor<'_>,
    target: &str,
    keys: &[&str],
) -> sqlx::Result<Vec<Job>> {
    sqlx::query_as!(
        Job,
        r#"select job.id as "id!", job.key as "key!", job.event_id as "event_id!", job.payload as "payload!",
                  job.traceparent, job.created_at as "created_at!"
           from unnest($2::text[]) as wanted (key)
           cross join lateral (
               select * from inbox.jobs where target = $1 and jobs.key = wanted.key order by id limit 1
           ) as job
           order by job.id"#,
        target,
        keys as _,
    )
    .fetch_all(executor)
    .await
}

/// Claims `keys` for another `lease` seconds, those that are still claimed by `claim`.
pub(crate) async fn renew(
    executor: impl PgExecutor<'_>,
    target: &str,
    claim: Uuid,
    keys: &[&str],
    lease: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"update inbox.job_keys set due_at = now() + make_interval(secs => $4)
           where target = $1 and claim = $2 and key = any($3)"#,
        target,
        claim,
        keys as _,
        lease,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Locks those of `keys` that are still claimed by `claim`.
pub(crate) async fn held(
    executor: impl PgExecutor<'_>,
    target: &str,
    claim: Uuid,
    keys: &[&str],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select key from inbox.job_keys where target = $1 and claim = $2 and key = any($3) order by key for update"#,
        target,
        claim,
        keys as _,
    )
    .fetch_all(executor)
    .await
}

/// Forgets the `jobs` that were the first of `keys`, where the row of the key is as the claim left it, and lets the keys go on or forgets them, too.
/// Whoever adds a job has written the row by the time the job can be seen, so no job is left without one. Answers for each of those keys whether it
/// goes on. Rows are locked in the order in which [`enqueue`] and [`held`] lock them.
pub(crate) async fn write_off(
    executor: impl PgExecutor<'_>,
    target: &str,
    claim: Uuid,
    keys: &[&str],
    xmins: &[&str],
    jobs: &[i64],
) -> sqlx::Result<Vec<bool>> {
    sqlx::query_scalar!(
        r#"with held as materialized (
               select found.place, found.more, claimed.job
               from (
                   select * from unnest($3::text[], $4::text[], $5::bigint[]) as claimed (key, xmin, job) order by key
               ) as claimed
               cross join lateral (
                   select job_keys.ctid as place, exists (
                       select from inbox.jobs where jobs.target = $1 and jobs.key = claimed.key and jobs.id <> claimed.job offset 0
                   ) as more
                   from inbox.job_keys
                   where job_keys.target = $1 and job_keys.key = claimed.key and job_keys.claim = $2
                     and job_keys.xmin = claimed.xmin::xid
                   for update
               ) as found
           ), gone as (
               delete from inbox.jobs where id = any (array(select job from held))
           ), ended as (
               delete from inbox.job_keys where ctid = any (array(select place from held where not more))
           ), released as (
               update inbox.job_keys set claim = null, due_at = now(), attempts = 0, refusals = 0, reason = null
               where ctid = any (array(select place from held where more))
           )
           select more as "more!" from held"#,
        target,
        claim,
        keys as _,
        xmins as _,
        jobs,
    )
    .fetch_all(executor)
    .await
}

/// Forgets the jobs `gone` and lets their keys, which the caller has locked, go on with their next job at once; forgets those
/// that have none. Answers with how many go on.
pub(crate) async fn release(
    executor: impl PgExecutor<'_>,
    target: &str,
    keys: &[&str],
    gone: &[i64],
) -> sqlx::Result<u64> {
    // All parts of a statement see the table as it was before.
    sqlx::query!(
        r#"with gone as (
               delete from inbox.jobs where id = any($3)
           ), ended as (
               delete from inbox.job_keys where target = $1 and key = any($2)
               and not exists (select from inbox.jobs where jobs.target = $1 and jobs.key = job_keys.key and jobs.id <> all($3))
               returning key
           )
           update inbox.job_keys set claim = null, due_at = now(), attempts = 0, refusals = 0, reason = null
           where target = $1 and key = any($2) and key not in (select key from ended)"#,
        target,
        keys as _,
        gone,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}

/// Gives claimed keys back for a later try, or for none.
pub(crate) async fn put_off(
    executor: impl PgExecutor<'_>,
    target: &str,
    put_off: &[PutOff<'_>],
) -> sqlx::Result<()> {
    let keys: Vec<&str> = put_off.iter().map(|key| key.key).collect();
    let delays: Vec<Option<f64>> = put_off.iter().map(|key| key.delay).collect();
    let attempts: Vec<i32> = put_off.iter().map(|key| key.attempts).collect();
    let refusals: Vec<i32> = put_off.iter().map(|key| key.refusals).collect();
    let reasons: Vec<&str> = put_off.iter().map(|key| key.reason).collect();
    sqlx::query!(
        r#"update inbox.job_keys
           set claim = null, due_at = now() + make_interval(secs => given.delay), attempts = given.attempts,
               refusals = given.refusals, reason = given.reason
           from unnest($2::text[], $3::double precision[], $4::integer[], $5::integer[], $6::text[])
               as given (key, delay, attempts, refusals, reason)
           where job_keys.target = $1 and job_keys.key = given.key"#,
        target,
        &keys[..] as _,
        &delays[..] as _,
        &attempts[..],
        &refusals[..],
        &reasons[..] as _,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Locks a key, so that no job is added to it. `false`: it has none.
pub(crate) async fn lock(
    executor: impl PgExecutor<'_>,
    target: &str,
    key: &str,
) -> sqlx::Result<bool> {
    let row = sqlx::query_scalar!(
        r#"select key from inbox.job_keys where target = $1 and key = $2 for update"#,
        target,
        key,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// Forgets a key, which the caller has locked, and all its jobs.
pub(crate) async fn delete(
    executor: impl PgExecutor<'_>,
    target: &str,
    key: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"with gone as (delete from inbox.jobs where target = $1 and key = $2)
           delete from inbox.job_keys where target = $1 and key = $2"#,
        target,
        key,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Locks a dead key. `false`: there is none.
pub(crate) async fn lock_dead(
    executor: impl PgExecutor<'_>,
    target: &str,
    key: &str,
) -> sqlx::Result<bool> {
    let row = sqlx::query_scalar!(
        r#"select key from inbox.job_keys where target = $1 and key = $2 and due_at is null for update"#,
        target,
        key,
    )
    .fetch_optional(executor)
    .await?;
    Ok(row.is_some())
}

/// How much waits for a target.
pub(crate) struct Backlog {
    pub(crate) target: String,
    pub(crate) jobs: i64,
    /// Seconds since its oldest job was added.
    pub(crate) age: f64,
}

/// What waits, for each target that has jobs.
pub(crate) async fn backlog(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Backlog>> {
    sqlx::query_as!(
        Backlog,
        r#"select target, count(*) as "jobs!",
                  extract(epoch from now() - min(created_at))::double precision as "age!"
           from inbox.jobs group by target"#,
    )
    .fetch_all(executor)
    .await
}

/// How many keys of each target are dead, for those that have any.
pub(crate) async fn dead_counts(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"select target, count(*) as "dead!" from inbox.job_keys where due_at is null group by target"#,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.target, row.dead)).collect())
}

/// A key whose first job was given up, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadKey {
    /// Where the jobs go.
    pub target: String,
    /// The key.
    pub key: String,
    /// Why its first job was given up.
    pub reason: Option<String>,
}

/// Dead keys in the order of target and key, behind `after`.
pub(crate) async fn list_dead(
    executor: impl PgExecutor<'_>,
    after: (&str, &str),
    limit: i64,
) -> sqlx::Result<Vec<DeadKey>> {
    sqlx::query_as!(
        DeadKey,
        r#"select target, key, reason from inbox.job_keys
           where due_at is null and (target, key) > ($1, $2) order by target, key limit $3"#,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(executor)
    .await
}
