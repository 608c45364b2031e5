//! What events lead to, against a real PostgreSQL and a real Apache Kafka.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kafka;
mod others;
mod parked;
mod smtp;
mod world;

mod audit;
mod dead_letters;
mod discard_parked_events;
mod erasure;
mod list_audit_records;
mod list_parked_events;
mod mail;
mod operator;
mod retry_parked_events;
mod user_data;
