use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;

/// A PostgreSQL database of one test. It goes with the server, which `./dev test` starts empty: to drop a database,
/// PostgreSQL waits for every process of the server, and tests that end together would wait for each other.
pub struct Database {
    /// Where it is, for code that connects by itself.
    pub url: String,
    /// Connections to it.
    pub pool: PgPool,
}

/// A new database, cloned from a template that `migrate` has filled once in this process. `template` names the template.
pub async fn database<E, F>(template: &str, migrate: impl FnOnce(PgPool) -> F) -> Database
where
    F: Future<Output = Result<(), E>>,
    E: Debug,
{
    let cell = TEMPLATES
        .lock()
        .unwrap()
        .entry(template.to_owned())
        .or_default()
        .clone();
    let template = cell
        .get_or_init(|| async { make_template(template, migrate).await })
        .await;

    let name = unique("test");
    let mut admin = PgConnection::connect(&crate::engine(SERVER)).await.unwrap();
    execute(
        &mut admin,
        format!("create database {name} template {template} strategy file_copy"),
    )
    .await;
    let options = options_for(&name);
    let url = options.to_url_lossy().to_string();
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .connect_lazy_with(options);
    Database { url, pool }
}

const SERVER: &str = "TEST_POSTGRES_URL";

static TEMPLATES: LazyLock<Mutex<HashMap<String, Arc<OnceCell<String>>>>> =
    LazyLock::new(Mutex::default);

async fn make_template<E: Debug, F: Future<Output = Result<(), E>>>(
    name: &str,
    migrate: impl FnOnce(PgPool) -> F,
) -> String {
    let name = unique(&format!("template_{name}"));
    let mut admin = PgConnection::connect(&crate::engine(SERVER)).await.unwrap();
    execute(&mut admin, format!("create database {name}")).await;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options_for(&name))
        .await
        .unwrap();
    migrate(pool.clone()).await.unwrap();
    pool.close().await;
    name
}

fn options_for(database: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(&crate::engine(SERVER))
        .unwrap()
        .database(database)
}

fn unique(prefix: &str) -> String {
    format!("{prefix}_{}", uuid::Uuid::now_v7().simple())
}

async fn execute(connection: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement.clone()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}
