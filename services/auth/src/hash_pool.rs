//! Where password hashes are computed: a fixed number of threads, a budget of memory, and a bounded queue. Load beyond that is
//! refused, because a larger process would help nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::Block;
use telemetry::metrics::{self, SECONDS};
use telemetry::names;
use telemetry::prometheus::{Histogram, IntCounter, IntGauge};
use tokio::sync::oneshot;

/// What keeps the pool small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Hashes at once.
    pub(crate) threads: usize,
    /// Memory of all hashes at once, in MiB.
    pub(crate) memory_mib: usize,
    /// Hashes that may wait.
    pub(crate) queue: usize,
}

/// The queue is full, or the hash needs more memory than the pool may ever have.
#[derive(Debug, thiserror::Error)]
#[error("the password pool is busy")]
pub(crate) struct Busy;

/// Memory of one hash, kept by a thread from job to job: fresh pages for every hash would cost a tenth of it.
#[derive(Default)]
pub(crate) struct Memory(Vec<Block>);

/// A handle of the pool; the threads end with the last one.
pub(crate) struct HashPool {
    shared: Arc<Shared>,
}

struct Shared {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Condvar,
    waiting: IntGauge,
    refusals: IntCounter,
    wait_seconds: Histogram,
    hash_seconds: Histogram,
}

struct State {
    queue: VecDeque<Job>,
    free_mib: usize,
    closed: bool,
}

struct Job {
    mib: usize,
    queued_at: Instant,
    run: Box<dyn FnOnce(&mut Memory) + Send>,
    abandoned: Box<dyn Fn() -> bool + Send>,
}

// An idle thread returns its memory after this long.
const KEEP_MEMORY: Duration = Duration::from_secs(5);

impl HashPool {
    /// Starts the threads.
    pub(crate) fn start(bounds: Bounds) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            bounds,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                free_mib: bounds.memory_mib,
                closed: false,
            }),
            changed: Condvar::new(),
            waiting: metrics::gauge(
                names::AUTH_PASSWORD_QUEUE_LENGTH,
                "Passwords that wait for their turn",
            ),
            refusals: metrics::counter(
                names::AUTH_PASSWORD_REFUSALS,
                "Passwords that were refused because the pool was full",
            ),
            wait_seconds: metrics::histogram(
                names::AUTH_PASSWORD_WAIT_DURATION,
                "How long a password waited for its turn",
                SECONDS,
            ),
            hash_seconds: metrics::histogram(
                names::AUTH_PASSWORD_HASH_DURATION,
                "How long one password took to hash",
                SECONDS,
            ),
        });
        for number in 0..bounds.threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || shared.work())?;
        }
        Ok(Self { shared })
    }

    /// Runs `job`, which needs `mib` of memory, when its turn comes.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        mib: usize,
        job: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        // Shared with the check whether the caller still waits: nobody hashes for a caller that has gone.
        let answer = Arc::new(Mutex::new(Some(answer)));
        let watched = Arc::clone(&answer);
        self.shared.submit(Job {
            mib,
            queued_at: Instant::now(),
            run: Box::new(move |memory| {
                let done = job(memory);
                if let Some(answer) = lock(&answer).take() {
                    // The caller may have gone meanwhile.
                    let _ = answer.send(done);
                }
            }),
            abandoned: Box::new(move || {
                lock(&watched)
                    .as_ref()
                    .is_none_or(oneshot::Sender::is_closed)
            }),
        })?;
        answered.await.map_err(|_| Busy)
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn submit(&self, job: Job) -> Result<(), Busy> {
        let mut state = lock(&self.state);
        if state.queue.len() >= self.bounds.queue || job.mib > self.bounds.memory_mib {
            self.refusals.inc();
            return Err(Busy);
        }
        state.queue.push_back(job);
        self.measure(&state);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The life of one thread.
    fn work(&self) {
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            if !(job.abandoned)() {
                self.wait_seconds
                    .observe(job.queued_at.elapsed().as_secs_f64());
                let began = Instant::now();
                // A panic in a hash must not take the thread, and with it a share of the pool, for ever. The caller sees its
                // channel close.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    (job.run)(&mut memory)
                }));
                self.hash_seconds.observe(began.elapsed().as_secs_f64());
            }
            lock(&self.state).free_mib += job.mib;
            self.changed.notify_one();
        }
    }

    /// Waits for a job and for the memory it needs; none when the pool has closed. Jobs start in the order they came.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if state
                .queue
                .front()
                .is_some_and(|job| job.mib <= state.free_mib)
                && let Some(job) = state.queue.pop_front()
            {
                state.free_mib -= job.mib;
                self.measure(&state);
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = if memory.0.capacity() == 0 {
                self.changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner)
            } else {
                let (state, wait) = self
                    .changed
                    .wait_timeout(state, KEEP_MEMORY)
                    .unwrap_or_else(PoisonError::into_inner);
                if wait.timed_out() {
                    *memory = Memory::default();
                }
                state
            };
        }
    }

    fn measure(&self, state: &State) {
        self.waiting
            .set(i64::try_from(state.queue.len()).unwrap_or(i64::MAX));
    }
}

impl Memory {
    /// At least `count` blocks.
    pub(crate) fn blocks(&mut self, count: usize) -> &mut [Block] {
        // Above 32 MiB glibc always maps an allocation apart, so dropping it gives it back to the system; below, the heap may keep
        // it. Pages beyond `count` are never touched and cost nothing.
        const MAPPED_APART: usize = 33 * 1024;
        if self.0.len() < count {
            self.0 = Vec::with_capacity(count.max(MAPPED_APART));
            self.0.resize(count, Block::new());
        }
        &mut self.0
    }
}

// No code panics while it holds these locks; a poisoned one is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize, memory_mib: usize, queue: usize) -> HashPool {
        HashPool::start(Bounds {
            threads,
            memory_mib,
            queue,
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_an_emptied_one_accepts_again() {
        let pool = Arc::new(pool(1, 10, 1));
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let running = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                pool.run(10, move |_| {
                    started.send(()).unwrap();
                    released.recv().unwrap();
                })
                .await
            }
        });
        has_started.await.unwrap();

        let mut waiting = Box::pin(pool.run(1, |_| 7));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(
            pool.run(1, |_| ()).await.is_err(),
            "the one place in the queue is taken"
        );

        release.send(()).unwrap();
        running.await.unwrap().unwrap();
        assert_eq!(waiting.await.unwrap(), 7);
        assert_eq!(pool.run(1, |_| 8).await.unwrap(), 8);
    }

    #[tokio::test]
    async fn a_job_larger_than_the_budget_is_refused_at_once() {
        assert!(pool(1, 10, 4).run(11, |_| ()).await.is_err());
    }

    #[tokio::test]
    async fn a_job_whose_caller_has_gone_is_not_run() {
        let pool = pool(1, 10, 4);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (ran, has_run) = std::sync::mpsc::channel::<&str>();

        let mut blocking = Box::pin(pool.run(10, move |_| released.recv().unwrap()));
        assert!(futures::poll!(blocking.as_mut()).is_pending());
        let mut abandoned = Box::pin(pool.run(1, {
            let ran = ran.clone();
            move |_| ran.send("abandoned").unwrap()
        }));
        assert!(futures::poll!(abandoned.as_mut()).is_pending());
        drop(abandoned);
        release.send(()).unwrap();
        blocking.await.unwrap();

        pool.run(1, move |_| ran.send("wanted").unwrap())
            .await
            .unwrap();
        assert_eq!(has_run.try_iter().collect::<Vec<_>>(), ["wanted"]);
    }

    #[tokio::test]
    async fn a_panicking_job_costs_its_caller_the_answer_and_the_pool_nothing() {
        let pool = pool(1, 10, 4);
        assert!(
            pool.run::<()>(10, |_| panic!("a fault in a hash"))
                .await
                .is_err()
        );
        assert_eq!(pool.run(10, |_| 1).await.unwrap(), 1);
    }
}
