//! Processes end, hang and come back; what was promised holds.

use std::time::{Duration, Instant};

use launcher::records::State;
use launcher::{Signal, readiness};
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use tests::program::{Replica, refusing};
use tests::rest::Client;
use tests::stack::{SERVICES, TestStack, alone, eventually, shared};
use tokio::net::TcpListener;

/// For a start on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_killed_service_is_started_again_and_counted() {
    let alone = alone().await;
    let stack = &alone.system.stack;
    let before = stack.records();
    for name in SERVICES {
        stack.kill(name, Signal::SIGKILL).unwrap();
    }
    for name in SERVICES {
        let restarts = before[name].restarts;
        stack.wait_ready_after(name, restarts, PATIENCE).unwrap();
        let record = &stack.records()[name];
        assert_eq!(record.restarts, restarts + 1, "{name}");
        assert_ne!(record.identity, before[name].identity, "{name}");
        let end = record.last_end.as_deref();
        assert_eq!(end, Some("signal: 9 (SIGKILL)"), "{name}");
    }
    alone.system.sign_up().await;
}

#[tokio::test]
async fn auth_and_user_answer_while_kafka_is_down_and_the_effects_follow_when_it_is_back() {
    let alone = alone().await;
    let (system, stack) = (&alone.system, &alone.system.stack);
    let person = system.sign_up().await;

    let restarts = stack.records()["kafka"].restarts;
    stack.kill("kafka", Signal::SIGKILL).unwrap();
    eventually(
        "the next Kafka, which is stopped before it listens",
        || async {
            let next = stack.records()["kafka"].restarts > restarts;
            (next && stack.kill("kafka", Signal::SIGSTOP).is_ok()).then_some(())
        },
    )
    .await;

    let newcomer = system.address();
    let registered = system
        .client()
        .post("/v1/accounts:register", json!({"email": newcomer}))
        .await;
    assert_eq!(registered.ok(), json!({}));
    let login = json!({"email": person.email, "password": person.password});
    system.client().post("/v1/sessions:login", login).await.ok();
    let bio = json!({"bio": "written without Kafka"});
    let changed = person.client.patch("/v1/users/me", bio).await.ok();
    assert_eq!(changed["bio"], "written without Kafka");
    for name in ["auth", "user", "gateway"] {
        let (status, body) = readyz(system, name).expect("an answer");
        assert_eq!(status, 200, "{name}: {body}");
    }
    assert_eq!(stack.records()["kafka"].state, State::Starting);

    stack.kill("kafka", Signal::SIGCONT).unwrap();
    stack.wait_ready("kafka", PATIENCE).unwrap();
    assert!(system.smtp.mail_to(&newcomer).await.token().is_some());
    eventually("the activities of what was done without Kafka", || async {
        let list = person.client.get("/v1/users/me/activities").await.ok();
        let types = list["activities"].as_array()?.iter();
        let mut types: Vec<_> = types.filter_map(|one| one["type"].as_str()).collect();
        types.sort_unstable();
        (types
            == [
                "ACCOUNT_REGISTERED",
                "LOGGED_IN",
                "LOGGED_IN",
                "PROFILE_UPDATED",
            ])
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_under_way_is_answered_when_every_process_is_told_to_end() {
    let alone = alone().await;
    let (system, stack) = (&alone.system, &alone.system.stack);
    let person = system.sign_up().await;
    person.client.get("/v1/users/me").await.ok();
    let before = stack.records();

    // The update waits for its row until this transaction ends.
    let database = stack.instance().database_url("user").unwrap();
    let database = PgPool::connect(&database).await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    sqlx::query("select id from profiles where id = $1::uuid for update")
        .bind(&person.account)
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    let client = person.client.clone();
    let bio = json!({"bio": "written on the way out"});
    let under_way = tokio::spawn(async move { client.patch("/v1/users/me", bio).await });
    eventually("the update to wait for its row", || async {
        let waits = "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";
        let waits: bool = sqlx::query_scalar(waits)
            .fetch_one(&database)
            .await
            .unwrap();
        waits.then_some(())
    })
    .await;

    for name in SERVICES {
        stack.kill(name, Signal::SIGTERM).unwrap();
    }
    for name in ["gateway", "user"] {
        eventually("an end that waits for the request", || async {
            let (status, body) = readyz(system, name)?;
            (status == 503 && body.contains("stopping")).then_some(())
        })
        .await;
    }
    assert!(!under_way.is_finished());
    transaction.rollback().await.unwrap();
    assert_eq!(
        under_way.await.unwrap().ok()["bio"],
        "written on the way out"
    );

    for name in SERVICES {
        let restarts = before[name].restarts;
        stack.wait_ready_after(name, restarts, PATIENCE).unwrap();
        let end = stack.records()[name].last_end.clone();
        assert_eq!(end.as_deref(), Some("exit status: 0"), "{name}");
    }
    // The connections of the person's client ended with the gateway.
    let client = system
        .client()
        .with_token(person.tokens["accessToken"].as_str().unwrap());
    let profile = client.get("/v1/users/me").await.ok();
    assert_eq!(profile["bio"], "written on the way out");
}

#[tokio::test]
async fn an_upstream_that_is_away_or_hangs_costs_its_own_routes_and_no_more_time_than_they_have() {
    let system = shared().await;
    let admin = system.admin().await;
    let (_held, away) = refusing();
    // Connections are made, and nobody ever takes them.
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstreams = format!(
        "auth=http://{},user=http://{},event-consumer=http://{}",
        system.stack.address("auth").unwrap(),
        away,
        hanging.local_addr().unwrap(),
    );
    let mut environment = system.environment("gateway");
    environment.insert("GRIMOIRE_UPSTREAMS".to_owned(), upstreams);
    environment.insert("GRIMOIRE_DEADLINE".to_owned(), "2000".to_owned());
    let gateway = Replica::start("gateway", environment).await;
    let token = admin.tokens["accessToken"].as_str().unwrap();
    let client = Client::new(&gateway.url()).with_token(token);

    // A service may be back in a moment, so the first calls wait for it, within their deadlines. Then it is away, and whoever comes is told
    // so at once.
    for (method, body) in [
        (Method::GET, None),
        (Method::PATCH, Some("{\"bio\": \"x\"}")),
    ] {
        eventually("a refusal at once", || async {
            let (begun, body) = (Instant::now(), body.map(str::to_owned));
            let answer = client.send(method.clone(), "/v1/users/me", body).await;
            let answer = answer.unwrap();
            answer.problem(503, "UNAVAILABLE");
            let seconds: u64 = answer.header("retry-after").parse().unwrap();
            assert!(seconds >= 1, "{seconds}");
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(3), "{took:?}");
            (took < Duration::from_millis(500)).then_some(())
        })
        .await;
    }

    let begun = Instant::now();
    let answer = client.get("/v1/admin/auditRecords").await;
    answer.problem(504, "DEADLINE_EXCEEDED");
    let took = begun.elapsed();
    assert!(
        took > Duration::from_millis(1900) && took < Duration::from_secs(4),
        "{took:?}"
    );

    client.get("/v1/accounts/me").await.ok();
}

/// What a process says of its readiness; none while nobody listens.
fn readyz(system: &TestStack, name: &str) -> Option<(u16, String)> {
    let address = system.stack.admin_address(name).expect("an admin port");
    readiness::get(address, "/readyz").ok()
}
