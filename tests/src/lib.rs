//! What end-to-end tests and benchmarks are written with: the whole system, clients, a mail server, and the checker of histories.

pub mod faults;
pub mod history;
pub mod load;
pub mod process;
pub mod rest;
pub mod smtp;
pub mod stack;
