//! End-to-end tests: the built programs, a private PostgreSQL and Apache Kafka, and clients that see only what anybody sees.

mod addresses;
mod admin;
mod browser;
mod compose;
mod configuration;
mod contracts;
mod dashboards;
mod docs;
mod environment;
mod faults;
mod grpc;
mod journey;
mod life;
mod mesh;
mod openapi;
mod parked_events;
mod passwords;
mod search;
mod signing_keys;
mod start_up;
mod tiltfile;
mod tokens;
mod topology;
mod trace;
mod wrong_input;
