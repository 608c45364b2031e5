//! The inbox against a real PostgreSQL and a real Kafka.

// Clippy knows helpers of tests only by #[cfg(test)].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod exactly_once;
mod jobs;
mod kit;
mod parking;
mod places;
mod rebalancing;
