//! The gateway for real, in front of services of the real contracts that are written here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod connections;
mod grpc;
mod limits;
mod pages;
mod rest;
mod stack;
mod tokens;
mod upstreams;
mod wrong_input;
