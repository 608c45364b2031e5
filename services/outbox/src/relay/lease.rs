use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use uuid::Uuid;

use super::failure::Failure;

/// Channel on which a replica without the lease announces its commits.
pub(super) const CHANNEL: &str = "outbox";
const ANNOUNCE: &str = "notify outbox";

/// How long a lease lasts after its last renewal, by the clock of the database.
const LEASE: Duration = Duration::from_secs(5);

/// The connection on which the relay keeps its lease and its cursor.
pub(crate) struct Control {
    pub(crate) connection: PgConnection,
}

/// Outcome of an attempt at the lease.
pub(crate) enum Attempt {
    Won(Held),
    Taken,
}

/// The lease, and where its last holder was.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) epoch: i64,
    pub(crate) generation: i64,
    pub(crate) cursor: Cursor,
}

/// How far Kafka is. See the table `outbox.relay`.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) lo: String,
    pub(crate) hi: Option<String>,
    pub(crate) done_seq: i64,
}

impl Control {
    pub(crate) async fn connect(options: &PgConnectOptions) -> Result<Control, sqlx::Error> {
        Ok(Control {
            connection: options.connect().await?,
        })
    }

    /// Takes the lease if nobody holds it, with the next epoch. Refuses a cursor that was written for another database.
    pub(crate) async fn acquire(&mut self, holder: Uuid) -> Result<Attempt, Failure> {
        let state = self.state().await?;
        let written_here = state
            .origin
            .as_ref()
            .is_none_or(|origin| *origin == state.found);
        if !written_here || state.ahead {
            return Err(Failure::Rewound {
                expected: state.origin.unwrap_or_default(),
                found: state.found,
            });
        }
        if !state.free {
            return Ok(Attempt::Taken);
        }
        let mut transaction = self.connection.begin().await?;
        // An epoch that is given out must not be forgotten by a crash and given out again.
        sqlx::raw_sql("set local synchronous_commit = on")
            .execute(&mut *transaction)
            .await?;
        let row = sqlx::query!(
            r#"update outbox.relay
               set holder = $1, epoch = epoch + 1, origin = $2,
                   expires_at = clock_timestamp() + make_interval(secs => $3)
               where singleton and expires_at < clock_timestamp()
               returning epoch, generation, lo::text as "lo!", hi::text as "hi?", done_seq"#,
            holder,
            state.found,
            LEASE.as_secs_f64(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(row.map_or(Attempt::Taken, |row| {
            Attempt::Won(Held {
                epoch: row.epoch,
                generation: row.generation,
                cursor: Cursor {
                    lo: row.lo,
                    hi: row.hi,
                    done_seq: row.done_seq,
                },
            })
        }))
    }

    /// Writes the cursor and renews the lease. [`Failure::LeaseLost`] if another relay has a later epoch.
    pub(crate) async fn write(&mut self, epoch: i64, cursor: &Cursor) -> Result<(), Failure> {
        let written = sqlx::query!(
            r#"update outbox.relay
               set lo = $2::text::pg_snapshot, hi = $3::text::pg_snapshot, done_seq = $4,
                   expires_at = clock_timestamp() + make_interval(secs => $5)
               where singleton and epoch = $1"#,
            epoch,
            cursor.lo,
            cursor.hi,
            cursor.done_seq,
            LEASE.as_secs_f64(),
        )
        .execute(&mut self.connection)
        .await?
        .rows_affected();
        if written == 1 {
            Ok(())
        } else {
            Err(Failure::LeaseLost)
        }
    }

    /// Renews the lease alone: whatever the row says of a window under way stays.
    pub(crate) async fn renew(&mut self, epoch: i64) -> Result<(), Failure> {
        let renewed = sqlx::query!(
            r#"update outbox.relay set expires_at = clock_timestamp() + make_interval(secs => $2)
               where singleton and epoch = $1"#,
            epoch,
            LEASE.as_secs_f64(),
        )
        .execute(&mut self.connection)
        .await?
        .rows_affected();
        if renewed == 1 {
            Ok(())
        } else {
            Err(Failure::LeaseLost)
        }
    }

    /// Gives the lease up before it runs out.
    pub(crate) async fn release(&mut self, epoch: i64) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update outbox.relay set holder = null, expires_at = '-infinity' where singleton and epoch = $1",
            epoch,
        )
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Tells the holder that something was committed. A statement of its own, so that no transaction of the service waits for
    /// the lock that NOTIFY takes at its commit.
    pub(crate) async fn notify(&mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(ANNOUNCE)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// `found` names what the transaction ids of this database belong to: the cluster and its timeline, which change with
    /// recovery to a point in time and with a fail-over, and the table, which is another one after a dump was restored.
    async fn state(&mut self) -> Result<State, sqlx::Error> {
        sqlx::query_as!(
            State,
            r#"select expires_at < clock_timestamp() as "free!", origin,
                      concat_ws('/', (select system_identifier from pg_control_system()),
                                     left(pg_walfile_name(pg_current_wal_lsn()), 8),
                                     'outbox.relay'::regclass::oid) as "found!",
                      pg_snapshot_xmax(lo) > pg_snapshot_xmax(pg_current_snapshot())
                      or coalesce(pg_snapshot_xmax(hi) > pg_snapshot_xmax(pg_current_snapshot()), false) as "ahead!"
               from outbox.relay
               where singleton"#
        )
        .fetch_one(&mut self.connection)
        .await
    }
}

struct State {
    free: bool,
    origin: Option<String>,
    found: String,
    ahead: bool,
}
