//! The threads that serve clients. A connection stays with the thread that it was given to, and so do the connections to services that its
//! calls take: one thread does all that a request needs, with warm caches, and wakes no other.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(MAIN) };
}

/// The thread that accepts connections and does what is beside requests, as every thread that is no worker.
const MAIN: usize = 0;

/// Which thread this is: the main one, or from 1 on a worker. Of what each thread has for itself there are so many and one.
pub(crate) fn index() -> usize {
    INDEX.get()
}

/// They begin to end, and with them what still runs there, when this is dropped.
pub(crate) struct Workers {
    workers: Vec<Worker>,
    _shutdown: DropGuard,
}

struct Worker {
    runtime: Handle,
    /// Shared with each of its connections, and so counts them.
    connections: Arc<()>,
}

impl Workers {
    /// # Errors
    /// Where the system gives no thread, or no file for it to wait on.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let shutdown = CancellationToken::new();
        let mut workers = Self {
            workers: Vec::with_capacity(count),
            _shutdown: shutdown.clone().drop_guard(),
        };
        for number in 1..=count {
            workers.workers.push(Worker {
                runtime: run(number, shutdown.clone())?,
                connections: Arc::default(),
            });
        }
        Ok(workers)
    }

    /// Where a new connection is served, and what is to be held as long as it lasts. None where there is no worker.
    pub(crate) fn least_busy(&self) -> Option<(&Handle, Arc<()>)> {
        let least = self
            .workers
            .iter()
            .min_by_key(|worker| Arc::strong_count(&worker.connections))?;
        Some((&least.runtime, least.connections.clone()))
    }
}

/// Starts one.
fn run(number: usize, shutdown: CancellationToken) -> io::Result<Handle> {
    let (tell, told) = mpsc::channel();
    let work = move || {
        INDEX.set(number);
        // A runtime may not be dropped on a thread that has another one, so it is made here.
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(tell.send(Err(error))),
        };
        let _ = tell.send(Ok(runtime.handle().clone()));
        runtime.block_on(shutdown.cancelled());
        runtime.shutdown_background();
    };
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(work)?;
    told.recv().map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_to_the_worker_that_has_the_fewest_and_is_served_there() {
        let workers = Workers::start(3).unwrap();
        let mut held: Vec<_> = (0..7).map(|_| workers.least_busy().unwrap().1).collect();
        let counts = || {
            let counts = workers.workers.iter();
            counts.map(|worker| Arc::strong_count(&worker.connections) - 1)
        };
        assert_eq!(counts().collect::<Vec<_>>(), [3, 2, 2]);
        // Those of the second one end.
        held.retain(|held| !Arc::ptr_eq(held, &workers.workers[1].connections));
        let (runtime, _held) = workers.least_busy().unwrap();
        assert_eq!(counts().collect::<Vec<_>>(), [3, 1, 2]);
        let (tell, told) = mpsc::channel();
        runtime.spawn(async move { tell.send(index()).unwrap() });
        assert_eq!(told.recv().unwrap(), 2);
        assert_eq!(index(), MAIN);
    }
}
