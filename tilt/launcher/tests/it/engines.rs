use std::time::Duration;

use launcher::{Signal, Stack};
use sqlx::{Connection, PgConnection};

use crate::{Folder, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgresql_is_started_again_with_its_data() {
    let folder = Folder::new();
    let stack = Stack::start(options(&folder, &["postgres"])).unwrap();
    let url = stack.instance().superuser_url().unwrap();
    execute(&url, "create table kept (id int)").await;

    stack.kill("postgres", Signal::SIGKILL).unwrap();
    stack
        .wait_ready_after("postgres", 0, Duration::from_secs(60))
        .unwrap();

    execute(&url, "insert into kept values (1)").await;
    assert_eq!(stack.records()["postgres"].restarts, 1);
    stack.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_instance_leaves_no_process_and_starts_again_with_its_data() {
    let folder = Folder::new();
    let stack = Stack::start(options(&folder, &["postgres"])).unwrap();
    let before = stack.identity("postgres").unwrap();
    execute(
        &stack.instance().superuser_url().unwrap(),
        "create table kept (id int)",
    )
    .await;
    stack.stop().unwrap();
    assert!(!before.alive());

    let stack = Stack::start(options(&folder, &["postgres"])).unwrap();
    execute(
        &stack.instance().superuser_url().unwrap(),
        "insert into kept values (1)",
    )
    .await;
    stack.stop().unwrap();
}

#[test]
fn kafka_answers_after_a_restart() {
    let folder = Folder::new();
    let stack = Stack::start(options(&folder, &["kafka"])).unwrap();
    let before = stack.identity("kafka").unwrap();

    stack.restart("kafka").unwrap();

    assert_ne!(stack.identity("kafka").unwrap(), before);
    stack.stop().unwrap();
}

#[test]
fn kafka_finds_its_data_again_where_the_path_has_letters_of_any_alphabet() {
    let folder = Folder::new();
    let dev = folder.0.join("prüfung 漢");
    for _ in 0..2 {
        let mut options = options(&folder, &["kafka"]);
        options.dev_dir = Some(dev.clone());
        Stack::start(options).unwrap().stop().unwrap();
        assert!(dev.join("kafka/data/meta.properties").exists());
    }
}

#[test]
fn an_instance_that_runs_is_not_started_twice() {
    let folder = Folder::new();
    let stack = Stack::start(options(&folder, &["postgres"])).unwrap();
    let Err(error) = Stack::launch(options(&folder, &["postgres"])) else {
        panic!("a second one started")
    };
    assert!(
        error
            .to_string()
            .contains(&format!("as process {}", std::process::id())),
        "{error}"
    );
    stack.stop().unwrap();
}

async fn execute(url: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}
