//! Runs the system of `tilt/stack.yaml` on one machine: a private PostgreSQL and Apache Kafka, and the services. `./dev` is its
//! command line; tests start instances of their own by [`Stack`].

pub mod alone;
pub mod collector;
mod event;
mod forget;
pub mod instance;
mod kafka;
pub mod keys;
pub mod layout;
pub mod logs;
pub mod observers;
mod output;
mod ports;
pub mod postgres;
pub mod process;
pub mod program;
pub mod readiness;
pub mod records;
mod restarts;
mod setup;
mod stack;
mod supervised;
mod supervisor;
mod template;
pub mod topology;
pub mod traces;
mod waiting;

pub use forget::forget;
pub use nix::sys::signal::Signal;
pub use observers::Observer;
pub use ports::{FreePort, Ports};
pub use stack::{Notice, Stack, StackOptions, Stopper};
