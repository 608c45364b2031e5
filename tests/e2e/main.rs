//! End-to-end tests: the built programs, a private PostgreSQL and Apache Kafka, and clients that see only what anybody sees.

mod configuration;
mod contracts;
mod docs;
mod faults;
mod grpc;
mod journey;
mod life;
mod mesh;
mod openapi;
mod passwords;
mod start_up;
mod tiltfile;
mod tokens;
mod topology;
mod trace;
mod wrong_input;
