//! The outbox against a real PostgreSQL and a real Apache Kafka: run by `./dev test`.

// Clippy knows test functions, not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod append;
mod failures;
mod relay;
mod schedule;
mod slots;
mod stream;
mod window;
mod world;
