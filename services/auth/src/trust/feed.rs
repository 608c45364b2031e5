//! The task that reads what changed. NOTIFY and its own process wake it; a look every 250 ms is the floor under both, and a read of
//! all that is live every 30 s under that.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use telemetry::{metrics, names};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Trust, Update, on_the_wire};
use crate::store::revocations::{self, BEGINNING};

/// What is announced does not wait for it; a lost announcement costs this much.
const POLL: Duration = Duration::from_millis(250);
const READ_ALL: Duration = Duration::from_secs(30);
/// Less than the second that followers may expect, by a poll.
const HEARTBEAT: Duration = Duration::from_millis(700);
/// Revocations of the next moment go together: a NOTIFY takes a lock that all of the server's databases share.
const APART: Duration = Duration::from_millis(5);
/// A read that hangs must not hide that trust grows old.
const READ_WITHIN: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(trust: &Arc<Trust>) {
    let heard = Arc::new(Notify::new());
    let listening = tokio::spawn(listen(Arc::clone(trust), Arc::clone(&heard)));
    let mut reader = Reader::new();
    loop {
        let own = tokio::select! {
            () = trust.stop.cancelled() => break,
            () = trust.revoked.notified() => true,
            () = heard.notified() => false,
            () = sleep_until(reader.next_look) => false,
        };
        if own {
            // Lost or late, it costs the others a poll.
            let (_, ()) = tokio::join!(
                timeout(READ_WITHIN, revocations::notify(&trust.pool)),
                reader.look(trust)
            );
        } else {
            reader.look(trust).await;
        }
        sleep(APART).await;
    }
    listening.abort();
}

/// What was read last.
struct Reader {
    snapshot: String,
    generation: Option<i64>,
    read_all_at: Instant,
    told_at: Instant,
    next_look: Instant,
    failing: bool,
    failures: telemetry::prometheus::IntCounter,
}

impl Reader {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            snapshot: BEGINNING.to_owned(),
            generation: None,
            read_all_at: now,
            told_at: now,
            next_look: now,
            failing: false,
            failures: metrics::counter(
                names::AUTH_TRUST_READ_FAILURES,
                "Reads of keys and revocations that failed; followers hear nothing meanwhile",
            ),
        }
    }

    async fn look(&mut self, trust: &Trust) {
        // A follower that comes reads everything by itself.
        if trust.updates.receiver_count() == 0 {
            self.next_look = Instant::now() + POLL;
            return;
        }
        match timeout(READ_WITHIN, self.read(trust)).await {
            Ok(Ok(())) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("keys and revocations are read again");
                }
                self.next_look = Instant::now() + POLL;
            }
            failed => {
                self.failures.inc();
                if !std::mem::replace(&mut self.failing, true) {
                    let error = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => "no answer in time".to_owned(),
                    };
                    tracing::warn!(
                        error,
                        "keys and revocations cannot be read; followers are told nothing"
                    );
                }
                self.next_look = Instant::now() + RETRY;
            }
        }
    }

    async fn read(&mut self, trust: &Trust) -> Result<(), sqlx::Error> {
        let began = Instant::now();
        let everything = began - self.read_all_at >= READ_ALL;
        let snapshot = if everything {
            BEGINNING
        } else {
            self.snapshot.as_str()
        };
        let news = revocations::since(&trust.pool, snapshot).await?;
        let keys = if everything || self.generation != Some(news.generation) {
            Some(trust.keys().await?)
        } else {
            None
        };

        if keys.is_some() || !news.revocations.is_empty() || self.told_at.elapsed() >= HEARTBEAT {
            // Fails when the last follower has just gone.
            let _ = trust.updates.send(Arc::new(Update {
                keys,
                revocations: on_the_wire(news.revocations),
                read_began: began.into_std(),
            }));
            self.told_at = began;
        }
        if everything {
            self.read_all_at = began;
        }
        self.snapshot = news.snapshot;
        if self.generation != Some(news.generation) {
            trust.generation.send_replace(news.generation);
        }
        self.generation = Some(news.generation);
        Ok(())
    }
}

/// Turns the NOTIFY of every replica into a wake-up.
async fn listen(trust: Arc<Trust>, heard: Arc<Notify>) {
    loop {
        if let Err(error) = hear(&trust, &heard).await {
            tracing::debug!(%error, "revocations of other replicas are not announced at present; they are looked for");
        }
        sleep(RETRY).await;
    }
}

async fn hear(trust: &Trust, heard: &Notify) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(&trust.pool).await?;
    listener.listen(revocations::CHANNEL).await?;
    loop {
        // None: the connection was lost, and announcements with it.
        if listener.try_recv().await?.is_none() {
            tracing::debug!("the connection that hears of revocations was lost");
        }
        heard.notify_one();
    }
}
