//! Real engines for integration tests. `./dev test` starts a private PostgreSQL and Apache Kafka and names them in
//! `TEST_POSTGRES_URL` and `TEST_KAFKA_BOOTSTRAP_SERVERS`; each test takes a database and topics of its own. A Redis is started by
//! the test that needs one. A dev-dependency only: everything here panics where a test cannot go on.

mod database;
pub mod kafka;
mod redis;

pub use database::{Database, database};
pub use redis::Redis;

fn engine(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: these tests need real engines; run them by `./dev test [FILTER]`, which starts them")
    })
}
