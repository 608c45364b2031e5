//! What must be there before services start: secrets, roles, databases, migrations. Never talks to Kafka.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::instance::Instance;
use crate::keys;
use crate::process::Program;
use crate::readiness::block_on;

/// Makes what is missing; to do it again changes nothing.
pub(crate) fn run(instance: &Instance) -> Result<()> {
    instance.layout.create()?;
    // Makes the secrets that its variables refer to.
    for (name, _) in instance.topology.services() {
        instance.environment_of(name)?;
    }
    if !instance.is_given("postgres") {
        block_on(make_databases(instance))??;
    }
    migrate(instance)
}

/// Each owner gets a database that nobody else may open.
async fn make_databases(instance: &Instance) -> Result<()> {
    let mut superuser = superuser(instance).await?;
    for (_, database) in instance.topology.databases() {
        let name = &database.name;
        ensure!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "`{name}` cannot name a database"
        );
        // Of letters that need no quoting: statements like these take no parameters.
        let password = keys::database_password(&instance.layout, name)?;
        let verb = if exists(
            &mut superuser,
            "select exists (select from pg_roles where rolname = $1)",
            name,
        )
        .await?
        {
            "alter"
        } else {
            "create"
        };
        execute(
            &mut superuser,
            format!("{verb} role \"{name}\" login password '{password}'"),
        )
        .await?;
        if !exists(
            &mut superuser,
            "select exists (select from pg_database where datname = $1)",
            name,
        )
        .await?
        {
            execute(
                &mut superuser,
                format!("create database \"{name}\" owner \"{name}\""),
            )
            .await?;
        }
        execute(
            &mut superuser,
            format!("revoke connect, temporary on database \"{name}\" from public"),
        )
        .await?;
    }
    execute(
        &mut superuser,
        "revoke connect on database postgres from public".to_owned(),
    )
    .await?;
    superuser.close().await?;
    Ok(())
}

/// Waits for a server that is starting: whoever runs one process after the other has not seen it ready.
async fn superuser(instance: &Instance) -> Result<PgConnection> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let url = instance.superuser_url()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match PgConnection::connect(&url).await {
            Ok(connection) => return Ok(connection),
            Err(error) if is_starting(&error) && Instant::now() < deadline => {
                instance.helpers.ensure_wanted()?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                return Err(error).context("cannot reach the private PostgreSQL as its superuser");
            }
        }
    }
}

/// Nobody listens yet, or the server says that it starts (SQLSTATE cannot_connect_now).
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

async fn exists(connection: &mut PgConnection, question: &'static str, name: &str) -> Result<bool> {
    Ok(sqlx::query_scalar(question)
        .bind(name)
        .fetch_one(connection)
        .await?)
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

/// Runs each owner's `migrate`, all at the same time.
fn migrate(instance: &Instance) -> Result<()> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = instance
            .topology
            .databases()
            .map(|(name, _)| scope.spawn(move || migrate_one(instance, name)))
            .collect();
        runs.into_iter().try_for_each(|run| {
            run.join()
                .map_err(|_| anyhow!("a migration did not end as it should"))?
        })
    })
}

fn migrate_one(instance: &Instance, name: &str) -> Result<()> {
    let log = instance.layout.log_of(&format!("{name}-migrate"));
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(instance.layout.bin.join(name));
    command
        .arg("migrate")
        .env_clear()
        .envs(instance.environment_of(name)?)
        .current_dir(&instance.layout.root);
    command.stdout(output.try_clone()?).stderr(output);
    let status = instance.helpers.spawn(Program::new(command))?.wait()?;
    if !status.success() {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        return Err(anyhow!(
            "`{name} migrate` failed, {status}:\n{}",
            said.trim_end()
        ));
    }
    Ok(())
}
