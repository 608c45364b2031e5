//! What events lead to, against a real PostgreSQL and a real Apache Kafka.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kafka;
mod others;
mod smtp;
mod world;

mod audit;
mod dead_letters;
mod list_audit_records;
mod mail;
mod operator;
mod user_data;
