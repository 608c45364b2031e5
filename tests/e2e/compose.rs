//! docker-compose.yml, the Dockerfile and what they refer to: containers are what tilt/stack.yaml says of processes, and what is named is there.

mod containers;
mod engines;
mod environment;
mod files;
mod images;
mod mounts;
mod parsed;
mod setup;
mod watching;

use launcher::topology::Topology;
use serde_json::Value;
use tests::stack::root;

fn topology() -> Topology {
    Topology::read(&root()).expect("tilt/stack.yaml is valid")
}

/// The container that migrates the database of a service.
fn migration(service: &str) -> String {
    format!("{service}-migrate")
}

/// A file of the repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_norway::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
