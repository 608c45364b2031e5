//! A service on a loopback port, called as a client calls it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod admin;
mod database;
mod deadlines;
mod edges;
mod unreadable;
mod world;
