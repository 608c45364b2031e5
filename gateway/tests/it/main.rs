//! The gateway for real, in front of services of the real contracts that are written here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod connections;
mod cors;
mod folder;
mod grpc;
mod grpc_web;
mod limits;
mod pages;
mod rest;
mod shared_limits;
mod stack;
mod streams;
mod tokens;
mod upstreams;
mod wrong_input;
