//! What the holder does beside publishing: it keeps the lease, notes how far it is, and looks after slots and measures.

use std::ops::ControlFlow;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use super::{Holder, RENEW_EVERY, WRITE_EVERY};
use crate::relay::failure::{Failure, answered};
use crate::relay::lease::Cursor;
use crate::relay::{MEASURE_EVERY, Step, topics};

const TEND_EVERY: Duration = Duration::from_secs(1);

impl Holder<'_> {
    /// Waits for something that may take longer than a lease lasts, and keeps the lease meanwhile.
    pub(super) async fn keeping_lease<T>(
        &mut self,
        waited_for: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::pin!(waited_for);
        loop {
            tokio::select! {
                biased;
                done = &mut waited_for => return Ok(done),
                () = sleep_until(self.renewed + RENEW_EVERY) => self.keep_lease().await?,
            }
        }
    }

    /// Renews the lease when that is due: to be called before whatever takes seconds where things go badly.
    pub(super) async fn keep_lease(&mut self) -> Result<(), Failure> {
        if self.renewed.elapsed() < RENEW_EVERY {
            return Ok(());
        }
        self.renewed = Instant::now();
        answered(self.control.renew(self.epoch)).await
    }

    /// Notes how far a large window is, from time to time, and sees to the rest of the duties.
    pub(super) async fn progress(&mut self, cursor: &mut Cursor) -> Result<(), Failure> {
        let stopping = self.stop.is_cancelled();
        if self.renewed.elapsed() < WRITE_EVERY && !stopping {
            return Ok(());
        }
        if let Some(seq) = self.publisher.acknowledged() {
            cursor.done_seq = seq;
            self.goes_well();
        }
        self.write(cursor).await?;
        if stopping {
            return Err(Failure::Stopped);
        }
        self.at(Step::CursorWritten).await?;
        self.measure().await
    }

    /// All that `hi` sees is in Kafka.
    pub(super) fn passed(&mut self, hi: String) {
        self.lo = hi;
        self.unwritten.get_or_insert_with(Instant::now);
        self.goes_well();
    }

    /// Ends the alarm of an earlier session. Not before something was published or nothing is there: a session that ends at the
    /// first row of all would end the alarm with each try.
    pub(super) fn goes_well(&mut self) {
        if !self.well {
            self.well = true;
            self.relay.measures.not_halted();
            self.report.recovered();
        }
    }

    /// Between windows: the cursor, the lease, the slots and the measures, each when it is due.
    pub(super) async fn look_after(&mut self) -> Result<(), Failure> {
        let overdue = self
            .unwritten
            .is_some_and(|since| since.elapsed() >= WRITE_EVERY);
        // Slots are judged by the moment that is stored.
        let tending = self.tended.elapsed() >= TEND_EVERY;
        if overdue || tending || self.renewed.elapsed() >= RENEW_EVERY {
            self.write_lo().await?;
        }
        if tending {
            self.tended = Instant::now();
            let tended =
                answered(self.slots.tend(&mut self.control.connection, self.epoch)).await?;
            let measures = &self.relay.measures;
            measures.current_slot.set(tended.current.into());
            measures.rotation_blocked.set(tended.blocked.into());
            if tended.truncated {
                self.at(Step::SlotTruncated).await?;
            }
        }
        self.measure().await
    }

    async fn measure(&mut self) -> Result<(), Failure> {
        if self.measured.elapsed() >= MEASURE_EVERY {
            self.measured = Instant::now();
            self.keep_lease().await?;
            self.relay.measures.sample(self.control).await?;
        }
        Ok(())
    }

    async fn write_lo(&mut self) -> Result<(), Failure> {
        let news = self.unwritten.is_some();
        self.write(&Cursor {
            lo: self.lo.clone(),
            hi: None,
            done_seq: 0,
        })
        .await?;
        self.unwritten = None;
        if news {
            self.at(Step::CursorWritten).await
        } else {
            Ok(())
        }
    }

    async fn write(&mut self, cursor: &Cursor) -> Result<(), Failure> {
        self.renewed = Instant::now();
        answered(self.control.write(self.epoch, cursor)).await
    }

    /// The end that was asked for, between windows: leaves nothing to be published twice.
    pub(super) async fn stopped(&mut self) -> Failure {
        match self.write_lo().await {
            Ok(()) => Failure::Stopped,
            Err(failure) => failure,
        }
    }

    /// Counts a window of which Kafka has all; `first` is when its first row was inserted.
    pub(super) fn acknowledged(&self, first: Option<OffsetDateTime>) {
        self.relay.measures.published.inc_by(self.publisher.sent());
        if let Some(first) = first {
            let delay = OffsetDateTime::now_utc() - first;
            self.relay
                .measures
                .publish_delay
                .observe(delay.as_seconds_f64().max(0.0));
        }
    }

    /// Makes sure that Kafka has these topics.
    pub(super) async fn know(&mut self, topics: Vec<String>) -> Result<(), Failure> {
        let relay = self.relay;
        self.keeping_lease(topics::ensure(&relay.config, topics.clone()))
            .await??;
        self.known_topics.extend(topics);
        Ok(())
    }

    pub(super) async fn at(&mut self, step: Step) -> Result<(), Failure> {
        let Some(failpoint) = &self.relay.config.failpoint else {
            return Ok(());
        };
        match failpoint(step).await {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Failure::Killed),
        }
    }
}
