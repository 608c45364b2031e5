//! News for the supervisor.

use std::sync::mpsc::Sender;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::process::Program;
use crate::records::Asked;

/// What the supervisor is told.
pub(crate) enum Event {
    /// A program was put together, or could not be.
    Prepared(String, Result<Box<Program>>),
    /// A process answers, or did not within its time. The number says in which of its lives.
    Answered(String, u32, Result<()>),
    /// A setup has ended.
    SetUp(String, Result<()>),
    /// Something takes a while.
    Said(String, String),
    /// Send a signal; whatever end follows is meant.
    Signal(String, Signal, Asked, Sender<Result<()>>),
    /// End everything; told again, end it at once.
    Stop,
}
