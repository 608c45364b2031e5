//! The slots of the outbox: one takes the rows of writers, the others are emptied once everything in them is published.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::failure::Failure;

/// Looks after the slots on behalf of one holder of the lease.
pub(super) struct Slots {
    full_from: i64,
    /// Before this no slot is locked again: a writer was in the way, and waiting for it makes others wait.
    not_before: Instant,
    blocked: bool,
}

/// What [`Slots::tend`] found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tended {
    /// The slot that writers use now.
    pub(super) current: i16,
    /// Whether it is full and the next one not empty.
    pub(super) blocked: bool,
    /// Whether a slot was emptied.
    pub(super) truncated: bool,
}

impl Slots {
    /// A slot counts as full from `full_from` bytes on.
    pub(super) fn new(full_from: i64) -> Slots {
        Slots {
            full_from,
            not_before: Instant::now(),
            blocked: false,
        }
    }

    /// Empties what can be emptied and moves writers on from a full slot. To be called with the cursor written.
    pub(super) async fn tend(
        &mut self,
        connection: &mut PgConnection,
        epoch: i64,
    ) -> Result<Tended, Failure> {
        let state = sqlx::query!(
            r#"select slot, since < clock_timestamp() - interval '1 hour' as "old!",
                      pg_relation_size('outbox.entries_0') as "size_0!",
                      pg_relation_size('outbox.entries_1') as "size_1!",
                      pg_relation_size('outbox.entries_2') as "size_2!"
               from outbox.current_slot
               where singleton"#
        )
        .fetch_one(&mut *connection)
        .await?;
        let mut sizes = [state.size_0, state.size_1, state.size_2];
        let mut tended = Tended {
            current: state.slot,
            blocked: false,
            truncated: false,
        };
        for (slot, size) in (0..).zip(&mut sizes) {
            if slot == state.slot || *size == 0 || Instant::now() < self.not_before {
                continue;
            }
            match recycle(connection, epoch, slot).await? {
                Recycled::Emptied => {
                    *size = 0;
                    tended.truncated = true;
                }
                Recycled::InUse => self.not_before = Instant::now() + AFTER_TIMEOUT,
                Recycled::Unpublished => {}
            }
        }
        let size = |slot: i16| sizes.get(slot as usize).copied().unwrap_or_default();
        if size(state.slot) >= self.full_from || (state.old && size(state.slot) > 0) {
            let next = (state.slot + 1) % 3;
            if size(next) == 0 {
                tended.current = rotate(connection, epoch, state.slot, next).await?;
            } else {
                tended.blocked = true;
            }
        }
        if tended.blocked && !self.blocked {
            tracing::warn!(
                slot = tended.current,
                "the outbox grows: the next slot cannot be emptied, some transaction that wrote to it is still open"
            );
        }
        self.blocked = tended.blocked;
        Ok(tended)
    }
}

const AFTER_TIMEOUT: Duration = Duration::from_secs(5);

enum Recycled {
    Emptied,
    /// A writer that wrote to it has not ended.
    InUse,
    Unpublished,
}

/// The name of a table cannot be a parameter.
static LOCK: [&str; 3] = [
    "lock table outbox.entries_0 in access exclusive mode",
    "lock table outbox.entries_1 in access exclusive mode",
    "lock table outbox.entries_2 in access exclusive mode",
];
static TRUNCATE: [&str; 3] = [
    "truncate outbox.entries_0",
    "truncate outbox.entries_1",
    "truncate outbox.entries_2",
];
/// A lock that is waited for stops everybody who comes after it, so the wait is short. The commit is a real one: rows that are
/// gone must not come back behind a cursor that has passed them.
const CAREFUL: &str = "set local lock_timeout = '50ms'; set local synchronous_commit = on";

async fn recycle(
    connection: &mut PgConnection,
    epoch: i64,
    slot: i16,
) -> Result<Recycled, Failure> {
    let (Some(lock), Some(truncate)) = (LOCK.get(slot as usize), TRUNCATE.get(slot as usize))
    else {
        return Ok(Recycled::Unpublished);
    };
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(CAREFUL).execute(&mut *transaction).await?;
    if let Err(error) = sqlx::raw_sql(*lock).execute(&mut *transaction).await {
        transaction.rollback().await?;
        let timed_out = error
            .as_database_error()
            .and_then(|error| error.code())
            .is_some_and(|code| code == "55P03");
        return if timed_out {
            Ok(Recycled::InUse)
        } else {
            Err(error.into())
        };
    }
    // A statement of its own behind the lock: its snapshot sees every row of the slot. A writer that chose the slot before the
    // rotation and waits for the lock will put its row into the emptied slot, which is emptied again once that row is published.
    let check = sqlx::query!(
        r#"select epoch = $1 as "held!",
                  slot <> $2
                  and not exists (select from outbox.entries
                                  where slot = $2 and xid >= pg_snapshot_xmax(lo))
                  and not exists (select from outbox.entries
                                  where slot = $2 and xid = any (array(select pg_snapshot_xip(lo)))) as "published!"
           from outbox.relay, outbox.current_slot"#,
        epoch,
        slot,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !check.held {
        return Err(Failure::LeaseLost);
    }
    if !check.published {
        transaction.rollback().await?;
        return Ok(Recycled::Unpublished);
    }
    sqlx::raw_sql(*truncate).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Recycled::Emptied)
}

/// Sends writers from slot `from` to slot `next`, and returns where they are.
async fn rotate(
    connection: &mut PgConnection,
    epoch: i64,
    from: i16,
    next: i16,
) -> Result<i16, Failure> {
    let moved = sqlx::query!(
        r#"update outbox.current_slot set slot = $3, since = clock_timestamp()
           where singleton and slot = $2 and exists (select from outbox.relay where epoch = $1)"#,
        epoch,
        from,
        next,
    )
    .execute(connection)
    .await?
    .rows_affected();
    if moved == 1 {
        Ok(next)
    } else {
        Err(Failure::LeaseLost)
    }
}
