//! What end-to-end tests and benchmarks are written with: the whole system, clients, a mail server, and the checker of histories.

pub mod api;
pub mod bench;
pub mod chaos;
pub mod collector;
pub mod configuration;
pub mod contracts_folder;
pub mod crowd;
pub mod faults;
pub mod grpc_web;
pub mod history;
pub mod http2;
pub mod load;
pub mod observe;
pub mod planted;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod recorded;
pub mod reference;
mod report;
pub mod rest;
pub mod revocation;
mod served;
pub mod smtp;
pub mod stack;
pub mod traffic;
