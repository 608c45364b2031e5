//! One HTTP/2 connection. Callers put their requests into one buffer and wake the task of the connection, which lets whoever else runs put
//! theirs, and writes all of them at once. What comes is read in the same task, and wakes each caller when its answer is whole.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};
use tokio::time::{self, MissedTickBehavior};

use super::failure::Failure;
use super::incoming;
use super::streams::{Settled, Step, Streams};
use super::{Outcome, Request, frame};

/// How often a connection is looked after.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// After so many ticks without a word, while calls wait, the peer is asked whether it is there.
const SILENCE: u32 = 10;
/// So many ticks it has to say anything.
const ANSWER: u32 = 5;
/// Calls that wait for others to end, on one connection.
const WAITING: usize = 1000;
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A connection that ends, when its calls have ended, after the last of these.
pub(super) struct Handle(Arc<Connection>);

pub(super) struct Connection {
    streams: Mutex<Streams>,
    /// There is something to write.
    wake: Notify,
    /// Something was read since the last tick.
    pub(super) heard: AtomicBool,
    /// One for each call that the peer takes at once. Closed when no call begins any more.
    places: Semaphore,
    /// Places that are taken and not to come back, because the peer takes fewer than before.
    debt: AtomicUsize,
    waiting: AtomicUsize,
}

impl Handle {
    /// Begins to speak. The receiver hears when the peer has spoken, too; no call begins before that.
    pub(super) fn start(
        reader: impl AsyncRead + Unpin + Send + 'static,
        writer: impl AsyncWrite + Unpin + Send + 'static,
        tick: Duration,
    ) -> (Self, oneshot::Receiver<()>) {
        let connection = Arc::new(Connection::new());
        let (settled, begun) = oneshot::channel();
        tokio::spawn(run(connection.clone(), reader, writer, tick, settled));
        connection.wake.notify_one();
        (Self(connection), begun)
    }
}

impl Deref for Handle {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

async fn run(
    connection: Arc<Connection>,
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    tick: Duration,
    settled: oneshot::Sender<()>,
) {
    // Also where the runtime ends first: nobody may wait for ever.
    let connection = Ending(connection);
    let mut writing = std::pin::pin!(write(&connection.0, writer));
    let failure = tokio::select! {
        biased;
        failure = incoming::read(&connection.0, reader, settled) => failure,
        written = &mut writing => {
            connection.0.end(&written.err().unwrap_or(Failure::Closed));
            return;
        }
        failure = watch(&connection.0, tick) => failure,
    };
    connection.0.end(&failure);
    if failure.reason() != Reason::NO_ERROR {
        // A peer that is wrong is told so, if it listens.
        let _ = time::timeout(LAST_WORDS, writing).await;
    }
}

struct Ending(Arc<Connection>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(&Failure::Closed);
    }
}

/// Writes what is gathered, until the last word.
async fn write(
    connection: &Connection,
    mut socket: impl AsyncWrite + Unpin,
) -> Result<(), Failure> {
    let mut taken = Vec::new();
    loop {
        connection.wake.notified().await;
        // Whatever else can run now does first: its requests are in the same write.
        tokio::task::yield_now().await;
        loop {
            let step = connection.lock().take(&mut taken);
            match step {
                Step::Nothing => break,
                Step::Write => socket.write_all(&taken).await?,
                Step::End(reason) => {
                    frame::put_go_away(&mut taken, reason);
                    socket.write_all(&taken).await?;
                    socket.shutdown().await?;
                    return Ok(());
                }
            }
            taken.clear();
        }
    }
}

/// Finds out that nobody is there any more. Nothing is asked while no call waits: a service may take that for an attack.
async fn watch(connection: &Connection, tick: Duration) -> Failure {
    let mut ticks = time::interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut silence = 0;
    let mut asked = None;
    loop {
        ticks.tick().await;
        if connection.heard.swap(false, Ordering::Relaxed) {
            (silence, asked) = (0, None);
            continue;
        }
        silence = SILENCE.min(silence + 1);
        asked = match asked {
            Some(ANSWER..) => return Failure::Silent,
            Some(ticks) => Some(ticks + 1),
            None if silence == SILENCE && connection.lock().expects() => {
                let ask = |out: &mut Vec<u8>| frame::put_ping(out, 0, *b"grimoire");
                if let Err(failure) = connection.with(|streams| streams.say(ask)) {
                    return failure;
                }
                Some(1)
            }
            None => None,
        };
    }
}

impl Connection {
    pub(super) fn new() -> Self {
        Self {
            streams: Mutex::new(Streams::new()),
            wake: Notify::new(),
            heard: AtomicBool::new(false),
            places: Semaphore::new(0),
            debt: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Makes one call. Dropped before its end, it is cancelled.
    pub(super) async fn call(&self, head: &[u8], request: &Request<'_>) -> Outcome {
        let mut call = Call {
            connection: self,
            place: Some(
                self.place()
                    .await
                    .map_err(|failure| failure.status(false))?,
            ),
            id: None,
        };
        let (waiter, answer) = oneshot::channel();
        let begun = self.with(|streams| streams.begin(head, request, waiter));
        if matches!(begun, Err(Failure::Closing)) {
            // It may have used all numbers of calls, which ends it as nothing else does.
            self.close();
        }
        call.id = Some(begun.map_err(|failure| failure.status(false))?);
        let outcome = answer.await;
        call.id = None;
        outcome.unwrap_or_else(|_| Err(Failure::Closed.status(true)))
    }

    /// Whether calls may begin.
    pub(super) fn is_open(&self) -> bool {
        !self.places.is_closed()
    }

    /// Lets `act` change the calls, and has written what is to be written then.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Streams) -> T) -> T {
        let mut streams = self.lock();
        let result = act(&mut streams);
        let due = streams.is_due();
        drop(streams);
        if due {
            self.wake.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place among the calls that the peer takes at once.
    async fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let waiting = Waiting(&self.waiting);
        if waiting.0.fetch_add(1, Ordering::Relaxed) >= WAITING {
            return Err(Failure::Crowded);
        }
        self.places.acquire().await.map_err(|_| Failure::Closing)
    }

    /// The peer takes `to` calls at once, after `from`.
    pub(super) fn resize(&self, from: usize, to: usize) {
        for _ in from..to {
            if !self.pays() {
                self.places.add_permits(1);
            }
        }
        let fewer = from.saturating_sub(to);
        let owed = fewer - self.places.forget_permits(fewer);
        self.debt.fetch_add(owed, Ordering::Relaxed);
    }

    /// Whether a place is owed, which then is paid.
    fn pays(&self) -> bool {
        let less = |debt: usize| debt.checked_sub(1);
        self.debt
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// No call begins any more. The connection ends when those that have begun are over.
    fn close(&self) {
        self.places.close();
        self.with(Streams::close);
    }

    pub(super) fn go_away(&self, last: u32, reason: Reason) {
        self.places.close();
        let settled = self.with(|streams| streams.go_away(last, reason));
        settled.into_iter().for_each(Settled::tell);
    }

    fn end(&self, failure: &Failure) {
        self.places.close();
        let settled = self.with(|streams| streams.end(failure));
        settled.into_iter().for_each(Settled::tell);
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call that has a place.
struct Call<'a> {
    connection: &'a Connection,
    place: Option<SemaphorePermit<'a>>,
    /// While it is not over.
    id: Option<u32>,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.connection.with(|streams| streams.cancel(id));
        }
        if let Some(place) = self.place.take()
            && self.connection.pays()
        {
            place.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_fewer_calls_than_before_gets_no_more_than_that() {
        let connection = Connection::new();
        connection.resize(0, 10);
        let mut calls = Vec::new();
        for _ in 0..5 {
            calls.push(Call {
                connection: &connection,
                place: Some(connection.place().await.unwrap()),
                id: None,
            });
        }
        connection.resize(10, 3);
        assert_eq!(connection.places.available_permits(), 0);
        calls.truncate(3);
        assert_eq!(connection.places.available_permits(), 0);
        calls.clear();
        assert_eq!(connection.places.available_permits(), 3);
        connection.resize(3, 4);
        assert_eq!(connection.places.available_permits(), 4);
    }
}
