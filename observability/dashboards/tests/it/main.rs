//! Dashboards, rules and runbooks, held against each other, against the names of metrics, and against promtool.

// Clippy knows test functions, not the functions that they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collector;
mod files;
mod metrics;
mod promtool;
mod runbooks;
