//! Each key is looked up by the whole of an index, whatever the planner takes the tables for: their statistics are those of a while ago, and by them
//! all keys of a subscriber may seem to be few. Hence subqueries that no plan turns into a join (`offset 0`).

use sqlx::PgExecutor;

use crate::settle::Runs;

/// What is known of a key in one generation of its stream.
pub(crate) struct Known {
    /// Which of the wanted pairs it is, from 1.
    pub(crate) place: i64,
    /// Its last version; `None` before the first event.
    pub(crate) last: Option<i64>,
    pub(crate) parked: bool,
}

/// What is known of each of `keys` and `generations`, which are pairs.
pub(crate) async fn known(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    keys: &[&str],
    generations: &[i64],
) -> sqlx::Result<Vec<Known>> {
    sqlx::query_as!(
        Known,
        r#"select wanted.place as "place!",
                  (select versions.last from inbox.versions
                   where versions.subscriber = $1 and versions.topic = $2
                     and versions.key = wanted.key and versions.generation = wanted.generation) as "last?",
                  exists (
                      select from inbox.parked_keys
                      where parked_keys.subscriber = $1 and parked_keys.topic = $2 and parked_keys.key = wanted.key offset 0
                  ) as "parked!"
           from unnest($3::text[], $4::bigint[]) with ordinality as wanted (key, generation, place)"#,
        subscriber,
        topic,
        keys as _,
        generations,
    )
    .fetch_all(executor)
    .await
}

/// What became of a batch that was to follow what is known.
pub(crate) struct Followed {
    /// Whether the place was where it was expected.
    pub(crate) ours: bool,
    /// How many of the runs begin behind the last version of their key, or are the first of it; none where a key is parked.
    pub(crate) runs: i64,
}

/// Moves the place of a partition from `expected` to `next` and the versions of `runs` to their ends, those that follow what is known: all that a
/// batch needs in which nothing is amiss, in one round trip. Where it moves less than all, roll back. For few runs: each is searched among all.
///
/// Parked keys are seen as they were before the statement waited for the lock of the place; versions are not, they are compared as they are. A key is
/// parked only together with a place that moves, so one that was parked unseen finds the place gone; one that was freed unseen still looks parked, and is
/// decided with a fresh look. Where an operator has set the place back to `expected` meanwhile, what is applied past a queue of parked records makes
/// repeats of them.
pub(crate) async fn follow(
    executor: impl PgExecutor<'_>,
    (subscriber, topic, partition): (&str, &str, i32),
    (expected, next): (i64, i64),
    runs: &Runs<'_>,
) -> sqlx::Result<Followed> {
    sqlx::query_as!(
        Followed,
        r#"with ours as (
               update inbox.offsets set next_offset = $5
               where subscriber = $1 and topic = $2 and partition = $3 and next_offset = $4
               returning 1
           ), runs as materialized (
               select key, generation, before, last
               from unnest($6::text[], $7::bigint[], $8::bigint[], $9::bigint[]) as runs (key, generation, before, last)
               where exists (select from ours)
                 and not exists (
                     select from unnest($6::text[]) as wanted (key)
                     cross join lateral (
                         select from inbox.parked_keys
                         where parked_keys.subscriber = $1 and parked_keys.topic = $2 and parked_keys.key = wanted.key offset 0
                     ) as parked)
           ), moved as (
               insert into inbox.versions (subscriber, topic, key, generation, last)
               select $1, $2, key, generation, last from runs
               on conflict (subscriber, topic, key, generation) do update set last = excluded.last
               where versions.last = (
                   select before from runs where runs.key = excluded.key and runs.generation = excluded.generation)
               returning 1
           )
           select exists (select from ours) as "ours!", (select count(*) from moved) as "runs!""#,
        subscriber,
        topic,
        partition,
        expected,
        next,
        &runs.keys[..] as _,
        &runs.generations[..],
        &runs.before[..],
        &runs.last[..],
    )
    .fetch_one(executor)
    .await
}

/// Writes the last version of each of `keys` and `generations`.
pub(crate) async fn write(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    keys: &[&str],
    generations: &[i64],
    last: &[i64],
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into inbox.versions (subscriber, topic, key, generation, last)
           select $1, $2, applied.key, applied.generation, applied.last
           from unnest($3::text[], $4::bigint[], $5::bigint[]) as applied (key, generation, last)
           on conflict (subscriber, topic, key, generation) do update set last = excluded.last"#,
        subscriber,
        topic,
        keys as _,
        generations,
        last,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets a key go on behind `last`, unless it is further already.
pub(crate) async fn accept(
    executor: impl PgExecutor<'_>,
    subscriber: &str,
    topic: &str,
    key: &str,
    generation: i64,
    last: i64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"insert into inbox.versions (subscriber, topic, key, generation, last) values ($1, $2, $3, $4, $5)
           on conflict (subscriber, topic, key, generation)
           do update set last = greatest(versions.last, excluded.last)"#,
        subscriber,
        topic,
        key,
        generation,
        last,
    )
    .execute(executor)
    .await?;
    Ok(())
}
