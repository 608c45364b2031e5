use sqlx::PgExecutor;

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
        r#"select wanted.place as "place!", versions.last as "last?", parked_keys.key is not null as "parked!"
           from unnest($3::text[], $4::bigint[]) with ordinality as wanted (key, generation, place)
           left join inbox.versions
               on versions.subscriber = $1 and versions.topic = $2
              and versions.key = wanted.key and versions.generation = wanted.generation
           left join inbox.parked_keys
               on parked_keys.subscriber = $1 and parked_keys.topic = $2 and parked_keys.key = wanted.key"#,
        subscriber,
        topic,
        keys as _,
        generations,
    )
    .fetch_all(executor)
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
