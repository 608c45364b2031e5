use std::borrow::Cow;
use std::convert::Infallible;

use chassis::database::{DatabaseError, PoolConfig, connect, ensure_migrated, migrate};
use chassis::process::Secret;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

const CONFIG: PoolConfig = PoolConfig {
    database_connections: 4,
};
const VARIABLE: &str = "USER_DATABASE_URL";

fn migrations(statements: &[&'static str]) -> Migrator {
    let migration = |(index, sql): (usize, &&'static str)| {
        let version = i64::try_from(index).unwrap() + 1;
        Migration::new(
            version,
            Cow::Borrowed("of a test"),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(statements.iter().enumerate().map(migration).collect())
}

async fn empty_database() -> (testkit::Database, Secret) {
    let database = testkit::database("chassis", |_| async { Ok::<_, Infallible>(()) }).await;
    let url = database.url.parse().unwrap();
    (database, url)
}

#[tokio::test]
async fn connections_are_open_before_there_are_callers() {
    let (_database, url) = empty_database().await;
    let pool = connect("user", VARIABLE, &url, &CONFIG).await.unwrap();
    assert_eq!(pool.size(), CONFIG.database_connections);
}

#[tokio::test]
async fn a_database_that_lacks_a_migration_is_refused_until_migrate_has_run() {
    let (_database, url) = empty_database().await;
    let pool = connect("user", VARIABLE, &url, &CONFIG).await.unwrap();
    let first = migrations(&["create table one ()"]);
    let both = migrations(&["create table one ()", "create table two ()"]);

    let error = ensure_migrated("user", &pool, &[("user", &first)])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the database lacks 1 of the migrations of user, the first is 1: run `user migrate` first"
    );
    migrate("user", VARIABLE, &url, &[("user", &first)])
        .await
        .unwrap();
    ensure_migrated("user", &pool, &[("user", &first)])
        .await
        .unwrap();
    let error = ensure_migrated("user", &pool, &[("user", &both)])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            DatabaseError::Unmigrated {
                count: 1,
                version: 2,
                ..
            }
        ),
        "{error}"
    );

    // The next release has migrated: this one still runs beside it.
    migrate("user", VARIABLE, &url, &[("user", &both)])
        .await
        .unwrap();
    ensure_migrated("user", &pool, &[("user", &first)])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_migration_that_was_edited_is_refused() {
    let (_database, url) = empty_database().await;
    let pool = connect("user", VARIABLE, &url, &CONFIG).await.unwrap();
    migrate(
        "user",
        VARIABLE,
        &url,
        &[("user", &migrations(&["create table one ()"]))],
    )
    .await
    .unwrap();
    let edited = migrations(&["create table one (id int)"]);
    let error = ensure_migrated("user", &pool, &[("user", &edited)])
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            DatabaseError::Edited {
                owner: "user",
                version: 1
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_session_has_a_name_and_bounds() {
    let (_database, url) = empty_database().await;
    let pool = connect("user", VARIABLE, &url, &CONFIG).await.unwrap();
    for (setting, wanted) in [
        ("application_name", "user"),
        ("statement_timeout", "10s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "15s"),
    ] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(value, wanted, "{setting}");
    }
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_the_password() {
    let (_database, url) = empty_database().await;
    let (server, _) = url.expose().rsplit_once('/').unwrap();
    let nowhere: Secret = format!("{server}/nowhere").parse().unwrap();
    let error = connect("user", VARIABLE, &nowhere, &CONFIG)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("the database nowhere at ") && error.contains(VARIABLE),
        "{error}"
    );

    let wrong: Secret = "hunter2".parse().unwrap();
    let error = connect("user", VARIABLE, &wrong, &CONFIG)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("USER_DATABASE_URL is not the address of a database"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}
