//! What keeps a process from starting is named, with what to do, and ends it with an exit code.

use std::convert::Infallible;
use std::time::Duration;

use launcher::{Ports, Stack, StackOptions};
use tests::program::{Ended, Environment, refusing, run};
use tests::stack::{SERVICES, bin_dir, root, shared};
use tokio::net::TcpListener;

/// Exit code where the configuration cannot be read.
const MISUSE: i32 = 2;
/// Exit code of whatever fails later.
const FAILURE: i32 = 1;

const DATABASES: [(&str, &str); 3] = [
    ("auth", "AUTH_DATABASE_URL"),
    ("user", "USER_DATABASE_URL"),
    ("event-consumer", "EVENTS_DATABASE_URL"),
];

#[tokio::test]
async fn each_missing_variable_is_named() {
    let required: [(&str, &[&str]); 4] = [
        (
            "auth",
            &[
                "AUTH_DATABASE_URL",
                "KAFKA_BOOTSTRAP_SERVERS",
                "GRIMOIRE_KEY_ENCRYPTION_KEY",
                "GRIMOIRE_REFRESH_TOKEN_KEY",
                "GRIMOIRE_MAIL_TOKEN_KEY",
                "GRIMOIRE_ADDRESS_KEY",
            ],
        ),
        ("user", &["USER_DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"]),
        (
            "event-consumer",
            &["EVENTS_DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"],
        ),
        ("gateway", &["GRIMOIRE_UPSTREAMS"]),
    ];
    for (name, variables) in required {
        let ended = run(name, &Environment::new()).await;
        assert_eq!(ended.code, Some(MISUSE), "{ended:?}");
        for variable in variables {
            let line = ended.said.lines().find(|line| line.contains(variable));
            assert!(
                line.is_some_and(|line| line.contains("is not set: ")),
                "{variable}: {ended:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_malformed_variable_is_named_with_what_it_should_be() {
    for (name, variable, value, code, right) in [
        (
            "auth",
            "GRIMOIRE_MAIL_TOKEN_KEY",
            "c2hvcnQ=",
            MISUSE,
            "32 bytes in base64",
        ),
        (
            "auth",
            "GRIMOIRE_ACCESS_TOKEN_LIFETIME",
            "5",
            MISUSE,
            "60..=600",
        ),
        (
            "auth",
            "GRIMOIRE_USER_URL",
            "user:50052",
            MISUSE,
            "such as http://",
        ),
        (
            "auth",
            "AUTH_DATABASE_URL",
            "nonsense",
            FAILURE,
            "such as postgres://",
        ),
        (
            "user",
            "USER_DATABASE_URL",
            "nonsense",
            FAILURE,
            "such as postgres://",
        ),
        (
            "user",
            "GRIMOIRE_AUTH_URL",
            "auth:50051",
            MISUSE,
            "such as http://",
        ),
        (
            "user",
            "GRIMOIRE_LISTEN",
            "50052",
            MISUSE,
            "such as 127.0.0.1:",
        ),
        (
            "user",
            "GRIMOIRE_LISTEN",
            "0.0.0.0:0",
            FAILURE,
            "GRIMOIRE_MESH_IDENTITIES",
        ),
        (
            "event-consumer",
            "GRIMOIRE_MAIL_FROM",
            "nobody",
            MISUSE,
            "a mailbox, such as",
        ),
        (
            "event-consumer",
            "GRIMOIRE_SMTP_URL",
            "nonsense",
            FAILURE,
            "such as smtps://",
        ),
        (
            "gateway",
            "GRIMOIRE_LIMIT_ADDRESS",
            "off",
            MISUSE,
            "50/s burst 200",
        ),
        (
            "gateway",
            "GRIMOIRE_LIMIT_CLASSES",
            "credentials=10/min",
            MISUSE,
            "per address",
        ),
        (
            "gateway",
            "GRIMOIRE_LIMIT_CLASSES",
            "credentials=10/min per address,admin=1/s per account",
            FAILURE,
            "add `search=RATE per address`",
        ),
        (
            "gateway",
            "RATE_LIMIT_URL",
            "http://127.0.0.1:6379",
            MISUSE,
            "rediss:// for TLS",
        ),
        (
            "gateway",
            "GRIMOIRE_CORS_ORIGINS",
            "https://app.example.com/",
            MISUSE,
            "without a path",
        ),
        (
            "gateway",
            "GRIMOIRE_CONTRACTS_DIR",
            "/nowhere",
            FAILURE,
            "/nowhere cannot be read",
        ),
        (
            "gateway",
            "GRIMOIRE_LOG",
            "loud=very",
            MISUSE,
            "info,h2=off",
        ),
        (
            "gateway",
            "GRIMOIRE_UPSTREAMS",
            "auth=http://127.0.0.1:1",
            FAILURE,
            "GRIMOIRE_UPSTREAMS lacks event-consumer",
        ),
    ] {
        let ended = start(name, &[(variable, value)]).await;
        refused(&ended, code, &[variable, right]);
    }
}

#[tokio::test]
async fn an_unknown_variable_of_ours_is_named_with_the_nearest_one() {
    for name in SERVICES {
        let ended = start(name, &[("GRIMOIRE_LISTNE", "127.0.0.1:0")]).await;
        refused(&ended, MISUSE, &["GRIMOIRE_LISTNE", "GRIMOIRE_LISTEN"]);
    }
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_variable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for name in SERVICES {
        for variable in ["GRIMOIRE_LISTEN", "GRIMOIRE_ADMIN_LISTEN"] {
            let ended = start(name, &[(variable, &taken)]).await;
            refused(&ended, FAILURE, &[variable, &taken]);
        }
    }
}

#[tokio::test]
async fn a_database_that_was_not_migrated_is_told_with_the_command_that_does_it() {
    for (name, variable) in DATABASES {
        let empty = testkit::database("empty", |_| async { Ok::<_, Infallible>(()) }).await;
        let ended = start(name, &[(variable, &empty.url)]).await;
        refused(&ended, FAILURE, &[&format!("run `{name} migrate` first")]);
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_after_ten_seconds() {
    let (_held, away) = refusing();
    let wait = async |(name, variable): (&str, &str)| {
        let url = format!("postgres://somebody:hidden@{away}/somewhere");
        let ended = start(name, &[(variable, &url)]).await;
        refused(&ended, FAILURE, &[variable, &away.to_string(), "somewhere"]);
        assert!(!ended.said.contains("hidden"), "{ended:?}");
        assert!(ended.after > Duration::from_secs(10), "{ended:?}");
        assert!(ended.after < Duration::from_secs(20), "{ended:?}");
    };
    let [auth, user, event_consumer] = DATABASES;
    tokio::join!(wait(auth), wait(user), wait(event_consumer));
}

#[tokio::test]
async fn a_wrong_key_encryption_key_is_named() {
    let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for key in [other, &format!("other:{other}")] {
        let ended = start("auth", &[("GRIMOIRE_KEY_ENCRYPTION_KEY", key)]).await;
        let rest = [
            "GRIMOIRE_KEY_ENCRYPTION_KEY",
            "that this database was made with",
        ];
        refused(&ended, FAILURE, &rest);
        assert!(!ended.said.contains(other), "{ended:?}");
    }
}

#[tokio::test]
async fn a_stack_on_a_taken_port_names_who_has_it_and_the_variable_that_moves_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut options = options("taken", "postgres");
    options.environment = Environment::from([("POSTGRES_PORT".to_owned(), port.clone())]);
    let said = refusal(options).await;
    let owner = format!("(pid {})", std::process::id());
    for part in [port.as_str(), &owner, "POSTGRES_PORT"] {
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_stack_over_a_given_kafka_that_does_not_answer_names_it_and_its_variable() {
    let (_held, away) = refusing();
    let away = away.to_string();
    let mut options = options("given", "kafka");
    options.environment = Environment::from([("KAFKA_BOOTSTRAP_SERVERS".to_owned(), away.clone())]);
    let said = refusal(options).await;
    for part in [
        away.as_str(),
        "does not answer within 30 s",
        "KAFKA_BOOTSTRAP_SERVERS",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

/// Starts a program as in the shared system, but for `changes` and ports that nobody else has.
async fn start(name: &str, changes: &[(&str, &str)]) -> Ended {
    let mut environment = shared().await.environment(name);
    let free = "127.0.0.1:0";
    let ports = [("GRIMOIRE_LISTEN", free), ("GRIMOIRE_ADMIN_LISTEN", free)];
    for (variable, value) in ports.iter().chain(changes) {
        environment.insert((*variable).to_owned(), (*value).to_owned());
    }
    run(name, &environment).await
}

fn refused(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for part in said {
        assert!(ended.said.contains(part), "no `{part}`: {ended:?}");
    }
}

/// A stack of one engine, at the port that the topology gives it.
fn options(name: &str, only: &str) -> StackOptions {
    let folder = format!(".dev/test/{name}-{}", std::process::id());
    let mut options = StackOptions::for_test(root(), root().join(folder), bin_dir());
    options.ports = Ports::Topology;
    options.only = vec![only.to_owned()];
    options
}

/// Why a stack does not start.
async fn refusal(options: StackOptions) -> String {
    let started = tokio::task::spawn_blocking(|| Stack::start(options).map(drop));
    format!("{:#}", started.await.unwrap().expect_err("it started"))
}
