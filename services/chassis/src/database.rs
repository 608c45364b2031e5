//! A service's own PostgreSQL database: the pool, its metrics, and whether its migrations are those of this program.

use std::collections::HashMap;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::migrate::{Migrate as _, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use telemetry::{metrics, names};
use tokio::time::{Instant, MissedTickBehavior};

use crate::process::Secret;

/// How long a start waits for the database.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to connect at the start.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// How long a call waits for a connection of the pool.
const ACQUIRE: Duration = Duration::from_secs(3);
/// Bounds that the server holds for each session: no caller waits longer than this, and a transaction that was forgotten ends.
const BOUNDS: [(&str, &str); 3] = [
    ("statement_timeout", "10s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "15s"),
];
/// The same for migrations, which may take their time but must not queue behind a lock for long: whatever comes later queues
/// behind them.
const MIGRATION_BOUNDS: [(&str, &str); 2] = [("statement_timeout", "0"), ("lock_timeout", "10s")];

/// What an operator decides about the pool.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Database")]
pub struct PoolConfig {
    /// Most connections to the database
    #[arg(long, env = "GRIMOIRE_DATABASE_CONNECTIONS", default_value = "16", value_name = "NUMBER",
          value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub database_connections: u32,
}

/// Why a database cannot be used. Passwords are never part of it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address cannot be read.
    #[error(
        "{variable} is not the address of a database, such as postgres://USER:PASSWORD@HOST:5432/NAME"
    )]
    Address {
        /// The variable it came from.
        variable: &'static str,
    },
    /// The server does not answer, or does not let us in.
    #[error("cannot use the database {database} at {server} ({variable}): {cause}")]
    Connect {
        /// The variable the address came from.
        variable: &'static str,
        /// Host and port.
        server: String,
        /// Name of the database.
        database: String,
        /// What went wrong.
        cause: sqlx::Error,
    },
    /// The database is older than this program.
    #[error(
        "the database lacks {count} of the migrations of {owner}, the first is {version}: run `{command}` first"
    )]
    Unmigrated {
        /// Whose migrations.
        owner: &'static str,
        /// How many.
        count: usize,
        /// Version of the first.
        version: i64,
        /// What to run.
        command: String,
    },
    /// A migration was edited after it was applied.
    #[error(
        "migration {version} of {owner} is not the one that was applied to this database: migrations must not be edited"
    )]
    Edited {
        /// Whose migration.
        owner: &'static str,
        /// Its version.
        version: i64,
    },
    /// The server failed while migrations were read or applied.
    #[error("migrations of {owner}: {cause}")]
    Migrate {
        /// Whose migrations.
        owner: &'static str,
        /// What went wrong.
        cause: MigrateError,
    },
}

/// Opens a pool on the database at `url`, which came from `variable`. Waits up to 10 s for a server that starts; a wrong
/// password or name fails at once. Sessions are named `service` and bound by timeouts.
pub async fn connect(
    service: &'static str,
    variable: &'static str,
    url: &Secret,
    config: &PoolConfig,
) -> Result<PgPool, DatabaseError> {
    let mut options = options(service, variable, url)?.options(BOUNDS);
    // Telemetry measures each statement from sqlx's report of it; the log filter keeps them out of the log. The level is parsed
    // because its type is of a crate that nothing else here needs.
    if let Ok(info) = "info".parse() {
        options = options.log_statements(info);
    }
    first_connection(variable, &options).await?;
    let pool = PgPoolOptions::new()
        .max_connections(config.database_connections)
        .acquire_timeout(ACQUIRE)
        .connect_lazy_with(options);
    open_all(&pool).await;
    tokio::spawn(measure(pool.clone()));
    Ok(pool)
}

/// Opens a pool for a command that ends soon, on a database that has these migrations.
pub async fn connect_for_command(
    service: &'static str,
    variable: &'static str,
    url: &Secret,
    migrations: &[(&'static str, &Migrator)],
) -> Result<PgPool, DatabaseError> {
    let config = PoolConfig {
        database_connections: 2,
    };
    let pool = connect(service, variable, url, &config).await?;
    ensure_migrated(service, &pool, migrations).await?;
    Ok(pool)
}

/// Opens the connections before there are callers. After a restart those who waited come at once: each would open one, and a busy
/// machine would not have them within what a caller waits. One that cannot be opened now is opened when it is needed.
async fn open_all(pool: &PgPool) {
    let most = pool.options().get_max_connections();
    let opened = futures::future::join_all((0..most).map(|_| pool.acquire())).await;
    if let Some(error) = opened.iter().find_map(|one| one.as_ref().err()) {
        tracing::warn!(%error, "not all connections to the database could be opened at the start");
    }
}

/// Applies the migrations of each owner, in order. They run beside the previous release, which must still work after them.
pub async fn migrate(
    service: &'static str,
    variable: &'static str,
    url: &Secret,
    migrations: &[(&'static str, &Migrator)],
) -> Result<(), DatabaseError> {
    let options = options(service, variable, url)?.options(MIGRATION_BOUNDS);
    let mut connection = first_connection(variable, &options).await?;
    for &(owner, migrator) in migrations {
        migrator
            .run(&mut connection)
            .await
            .map_err(|cause| DatabaseError::Migrate { owner, cause })?;
    }
    Ok(())
}

/// Fails when `pool`'s database lacks a migration that this program has; one that a later release applied is fine.
pub async fn ensure_migrated(
    service: &'static str,
    pool: &PgPool,
    migrations: &[(&'static str, &Migrator)],
) -> Result<(), DatabaseError> {
    for &(owner, migrator) in migrations {
        let failed = |cause| DatabaseError::Migrate { owner, cause };
        let applied = applied(pool, migrator).await.map_err(failed)?;
        let mut missing = Vec::new();
        for migration in migrator
            .iter()
            .filter(|migration| !migration.migration_type.is_down_migration())
        {
            match applied.get(&migration.version) {
                None => missing.push(migration.version),
                Some(checksum) if checksum.as_slice() != &*migration.checksum => {
                    return Err(DatabaseError::Edited {
                        owner,
                        version: migration.version,
                    });
                }
                Some(_) => {}
            }
        }
        if let Some(&version) = missing.first() {
            let command = format!("{service} migrate");
            return Err(DatabaseError::Unmigrated {
                owner,
                count: missing.len(),
                version,
                command,
            });
        }
    }
    Ok(())
}

/// Checksums of the migrations that were applied, by version.
async fn applied(
    pool: &PgPool,
    migrator: &Migrator,
) -> Result<HashMap<i64, Vec<u8>>, MigrateError> {
    let mut connection = pool.acquire().await?;
    match connection
        .list_applied_migrations(&migrator.table_name)
        .await
    {
        Ok(applied) => Ok(applied
            .into_iter()
            .map(|one| (one.version, one.checksum.into_owned()))
            .collect()),
        // No table, or no schema for it: nothing was ever applied.
        Err(MigrateError::Execute(sqlx::Error::Database(error)))
            if error
                .code()
                .is_some_and(|code| code == "42P01" || code == "3F000") =>
        {
            Ok(HashMap::new())
        }
        Err(error) => Err(error),
    }
}

fn options(
    service: &str,
    variable: &'static str,
    url: &Secret,
) -> Result<PgConnectOptions, DatabaseError> {
    // The cause would quote the address.
    let options = PgConnectOptions::from_str(url.expose())
        .map_err(|_| DatabaseError::Address { variable })?;
    Ok(options.application_name(service))
}

async fn first_connection(
    variable: &'static str,
    options: &PgConnectOptions,
) -> Result<PgConnection, DatabaseError> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        let tried = tokio::time::timeout(PATIENCE, PgConnection::connect_with(options));
        let cause = match tried.await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(cause)) => cause,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        if !is_starting(&cause) || begun.elapsed() >= PATIENCE {
            return Err(DatabaseError::Connect {
                variable,
                server: format!("{}:{}", options.get_host(), options.get_port()),
                database: options
                    .get_database()
                    .unwrap_or_else(|| options.get_username())
                    .to_owned(),
                cause,
            });
        }
        if !told {
            tracing::info!(variable, %cause, "waiting for the database");
            told = true;
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

/// Whether the server may yet come up: nobody listens, or it says that it is starting.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// Each second: how the pool stands, and how long a connection is waited for. Ends with the pool.
async fn measure(pool: PgPool) {
    let connections = metrics::gauge_vec(
        names::DB_CONNECTIONS,
        "Connections of the pool by state",
        &["db_client_connection_state"],
    );
    let (idle, used) = (
        connections.with_label_values(&["idle"]),
        connections.with_label_values(&["used"]),
    );
    metrics::gauge(
        names::DB_CONNECTIONS_MAX,
        "Connections that the pool may open",
    )
    .set(i64::from(pool.options().get_max_connections()));
    let wait = metrics::histogram(
        names::DB_CONNECTION_WAIT,
        "Seconds that a probe waited for a connection of the pool, once a second",
        metrics::SECONDS,
    );
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !pool.is_closed() {
        ticks.tick().await;
        let now_idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        idle.set(now_idle);
        used.set((i64::from(pool.size()) - now_idle).max(0));
        let begun = Instant::now();
        // A probe that failed has waited as well.
        drop(pool.acquire().await);
        wait.observe(begun.elapsed().as_secs_f64());
    }
}
