//! End-to-end tests: the built programs, a private PostgreSQL and Apache Kafka, and clients that see only what anybody sees.

mod faults;
mod journey;
mod wrong_input;
