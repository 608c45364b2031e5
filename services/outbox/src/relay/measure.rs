use telemetry::metrics;
use telemetry::names;
use telemetry::prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::failure::{Failure, answered};
use super::lease::Control;

/// What the relay tells of itself.
pub(crate) struct Measures {
    pub(crate) published: IntCounter,
    pub(crate) publish_delay: Histogram,
    pub(crate) lease_held: IntGauge,
    pub(crate) current_slot: IntGauge,
    pub(crate) rotation_blocked: IntGauge,
    failures: IntCounterVec,
    halted: IntGaugeVec,
    unpublished: IntGauge,
    oldest_unpublished: Gauge,
    xmin_age: IntGauge,
}

impl Measures {
    pub(crate) fn new() -> Measures {
        Measures {
            published: metrics::counter(
                names::OUTBOX_PUBLISHED,
                "Events that Kafka acknowledged, repeats included",
            ),
            publish_delay: metrics::histogram(
                names::OUTBOX_PUBLISH_DELAY,
                "From the insertion of a window's first row to the acknowledgement of the whole window by Kafka",
                metrics::SECONDS,
            ),
            lease_held: metrics::gauge(
                names::OUTBOX_LEASE_HELD,
                "1 while the relay of this process holds the lease",
            ),
            current_slot: metrics::gauge(
                names::OUTBOX_CURRENT_SLOT,
                "Slot of the outbox that writers use, as its relay sees it",
            ),
            rotation_blocked: metrics::gauge(
                names::OUTBOX_ROTATION_BLOCKED,
                "1 while the current slot is full and the next one cannot be emptied",
            ),
            failures: metrics::counter_vec(
                names::OUTBOX_RELAY_FAILURES,
                "Sessions of the relay that ended in a failure",
                &["kind"],
            ),
            halted: metrics::gauge_vec(
                names::OUTBOX_RELAY_HALTED,
                "1 while the relay waits for an operator",
                &["kind"],
            ),
            unpublished: metrics::gauge(
                names::OUTBOX_UNPUBLISHED,
                "Committed events that are not in Kafka, counted up to 100,000",
            ),
            oldest_unpublished: metrics::float_gauge(
                names::OUTBOX_OLDEST_UNPUBLISHED,
                "Age of the oldest committed event that is not in Kafka",
            ),
            xmin_age: metrics::gauge(
                names::OUTBOX_XMIN_AGE,
                "Transactions that began since the oldest one that is still writing",
            ),
        }
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        self.failures.with_label_values(&[failure.kind()]).inc();
        if failure.needs_operator() {
            self.halted.with_label_values(&[failure.kind()]).set(1);
        }
    }

    pub(crate) fn not_halted(&self) {
        self.halted.reset();
    }

    /// Looks at the backlog; whether or not this relay holds the lease, so that it is seen also while nobody does. A statement
    /// that the server gives up, as with a large backlog on a slow disk, leaves the gauges as they are: they keep nobody from publishing.
    pub(crate) async fn sample(&self, control: &mut Control) -> Result<(), Failure> {
        match answered(self.look(control)).await {
            Err(Failure::Database(error @ sqlx::Error::Database(_))) => {
                tracing::debug!(%error, "the backlog could not be counted");
                Ok(())
            }
            result => result,
        }
    }

    async fn look(&self, control: &mut Control) -> Result<(), sqlx::Error> {
        let backlog = sqlx::query!(
            r#"with cursor as materialized (select lo, hi, done_seq from outbox.relay where singleton)
               select count(*) as "count!",
                      coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as "age!",
                      (pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                       - pg_snapshot_xmin(pg_current_snapshot())::text::bigint) as "xmin_age!"
               from (
                   select xid, seq, created_at from outbox.entries
                   where xid >= (select pg_snapshot_xmax(lo) from cursor)
                   union all
                   select xid, seq, created_at from outbox.entries
                   where xid = any (array(select pg_snapshot_xip(lo) from cursor))
                   limit 100000
               ) as unseen
               where not coalesce(seq <= (select done_seq from cursor)
                                  and pg_visible_in_snapshot(xid, (select hi from cursor)), false)"#
        )
        .fetch_one(&mut control.connection)
        .await?;
        self.unpublished.set(backlog.count);
        self.oldest_unpublished.set(backlog.age);
        self.xmin_age.set(backlog.xmin_age);
        Ok(())
    }
}
