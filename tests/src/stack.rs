//! The whole system for tests: the built programs on free ports, in a folder of their own.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use launcher::{Stack, StackOptions};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::collector::Collector;
use crate::program::Environment;
use crate::rest::Client;
use crate::smtp::Smtp;

/// The origin of another site whose pages may call the system that tests share.
pub const ORIGIN: &str = "http://app.test";

/// Our programs.
pub const SERVICES: [&str; 4] = ["auth", "user", "event-consumer", "gateway"];

/// A running system and the mail server that it sends to.
pub struct TestStack {
    pub stack: Stack,
    pub smtp: Smtp,
}

/// Somebody who has registered and is signed in.
pub struct Person {
    /// Sends the person's access token.
    pub client: Client,
    pub email: String,
    pub password: &'static str,
    /// Account id.
    pub account: String,
    pub tokens: Value,
}

/// The system that all tests of this process share.
pub async fn shared() -> &'static TestStack {
    static SHARED: OnceCell<TestStack> = OnceCell::const_new();
    SHARED
        .get_or_init(|| async {
            let start = || TestStack::start("shared", as_browsers_meet_it);
            tokio::task::spawn_blocking(start).await.expect("a stack")
        })
        .await
}

/// A system that one test at a time has for itself, to kill its processes or to know whose events are on their way.
pub struct Alone {
    pub system: TestStack,
    /// Where its traces go.
    pub collector: Collector,
}

/// The system that is given to one test at a time, with every process ready.
pub async fn alone() -> MutexGuard<'static, Alone> {
    static ALONE: OnceCell<Mutex<Alone>> = OnceCell::const_new();
    let alone = ALONE.get_or_init(|| async {
        tokio::task::spawn_blocking(|| Mutex::new(Alone::start()))
            .await
            .expect("a stack")
    });
    let alone = alone.await.lock().await;
    for name in SERVICES.into_iter().chain(["kafka"]) {
        let ready = alone.system.stack.wait_ready(name, Duration::from_secs(60));
        ready.unwrap_or_else(|error| panic!("an earlier test leaves its damage: {error:#}"));
    }
    alone
}

/// Gives the gateway a listener over TLS, on a free port, and lets pages of [`ORIGIN`] call it.
fn as_browsers_meet_it(options: &mut StackOptions) {
    let folder = options.dev_dir.as_deref().expect("a folder").join("tls");
    fs::create_dir_all(&folder).expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let variables = options.overrides.entry("gateway".to_owned()).or_default();
    variables.insert("GRIMOIRE_CORS_ORIGINS".to_owned(), ORIGIN.to_owned());
    variables.insert("GRIMOIRE_TLS_LISTEN".to_owned(), "127.0.0.1:0".to_owned());
    for (variable, name, content) in [
        ("GRIMOIRE_TLS_CERT", "tls.crt", made.cert.pem()),
        (
            "GRIMOIRE_TLS_KEY",
            "tls.key",
            made.signing_key.serialize_pem(),
        ),
    ] {
        let path = folder.join(name);
        fs::write(&path, content).expect("a file");
        variables.insert(variable.to_owned(), path.display().to_string());
    }
}

impl Alone {
    fn start() -> Self {
        let collector = Collector::start();
        let system = TestStack::start("alone", |options| send_traces(options, &collector.url()));
        Self { system, collector }
    }
}

/// Has all services send their traces there, and the gateway take over those that a test begins.
pub fn send_traces(options: &mut StackOptions, endpoint: &str) {
    for name in SERVICES {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned());
        // Milliseconds that spans wait for others to be sent with.
        let delay = ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned());
        set(options, name, &[endpoint, delay]);
    }
    // Of others than proxies a trace is not taken over.
    let proxies = ("GRIMOIRE_TRUSTED_PROXIES", "1".to_owned());
    set(options, "gateway", &[proxies]);
}

/// Sets variables of one process.
pub(crate) fn set(options: &mut StackOptions, process: &str, variables: &[(&str, String)]) {
    let variables = variables
        .iter()
        .map(|(variable, value)| ((*variable).to_owned(), value.clone()));
    let of_process = options.overrides.entry(process.to_owned()).or_default();
    of_process.extend(variables);
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
        .to_owned()
}

/// The built programs.
pub fn bin_dir() -> PathBuf {
    std::env::var_os("TEST_BIN_DIR")
        .map(PathBuf::from)
        .expect("TEST_BIN_DIR is not set: run these tests by `./dev test [FILTER]`")
}

/// Variables for a load that comes from a few addresses and accounts: limits are on, and out of its way. Access tokens last as long as is
/// allowed, so that no run outlives them.
pub(crate) fn under_load() -> BTreeMap<String, String> {
    let classes = ["credentials", "search", "admin"];
    let classes = classes.map(|class| format!("{class}=1000000/s per address"));
    let classes = classes.join(",");
    [
        ("GRIMOIRE_LIMIT_ADDRESS", "1000000/s"),
        ("GRIMOIRE_LIMIT_ACCOUNT", "1000000/s"),
        ("GRIMOIRE_LIMIT_CLASSES", classes.as_str()),
        ("GRIMOIRE_ACCESS_TOKEN_LIFETIME", "600"),
    ]
    .map(|(variable, value)| (variable.to_owned(), value.to_owned()))
    .into()
}

impl TestStack {
    /// Starts a system of its own in `.dev/test/NAME-PID`. `change` may change what it is started with.
    pub fn start(name: &str, change: impl FnOnce(&mut StackOptions)) -> Self {
        let smtp = Smtp::start();
        let dev = root()
            .join(".dev/test")
            .join(format!("{name}-{}", std::process::id()));
        let mut options = StackOptions::for_test(root(), dev, bin_dir());
        let smtp_url = ("GRIMOIRE_SMTP_URL", smtp.url());
        set(&mut options, "event-consumer", &[smtp_url]);
        // Several workers, as where it is deployed.
        let threads = ("GRIMOIRE_THREADS", "2".to_owned());
        set(&mut options, "gateway", &[threads]);
        change(&mut options);
        let stack = Stack::start(options)
            .unwrap_or_else(|error| panic!("the stack does not start: {error:#}"));
        Self { stack, smtp }
    }

    /// The environment that one of our programs has here.
    pub fn environment(&self, name: &str) -> Environment {
        let environment = self.stack.instance().environment_of(name);
        environment.unwrap_or_else(|error| panic!("{name} has an environment: {error:#}"))
    }

    /// `http://127.0.0.1:PORT` of the gateway.
    pub fn gateway(&self) -> String {
        format!(
            "http://{}",
            self.stack.address("gateway").expect("the gateway serves")
        )
    }

    /// A client with an address of its own.
    pub fn client(&self) -> Client {
        Client::new(&self.gateway())
    }

    /// An e-mail address that nobody has used.
    pub fn address(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        format!(
            "person-{}-{}@example.com",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        )
    }

    /// Registers somebody new, by mail, and signs in.
    pub async fn sign_up(&self) -> Person {
        let (client, email, password) = (self.client(), self.address(), "a long enough secret 17");
        client
            .post("/v1/accounts:register", json!({"email": email}))
            .await
            .ok();
        let mail = self.smtp.mail_to(&email).await;
        let body = json!({"token": mail.token().expect("a registration mail has a token"), "password": password});
        let made = client
            .post("/v1/accounts:completeRegistration", body)
            .await
            .ok();
        let tokens = made["tokens"].clone();
        Person {
            client: client.with_token(text(&tokens["accessToken"])),
            email,
            password,
            account: text(&made["account"]["id"]).to_owned(),
            tokens,
        }
    }

    /// Somebody new with the role `admin`.
    pub async fn admin(&self) -> Person {
        let person = self.sign_up().await;
        self.auth(&["grant-role", &person.email, "admin"]).await;
        let login = json!({"email": person.email, "password": person.password});
        let tokens = person.client.post("/v1/sessions:login", login).await.ok()["tokens"].clone();
        Person {
            client: person.client.with_token(text(&tokens["accessToken"])),
            tokens,
            ..person
        }
    }

    /// Runs a command of the program `auth`.
    pub async fn auth(&self, arguments: &[&str]) {
        let output = tokio::process::Command::new(bin_dir().join("auth"))
            .args(arguments)
            .env_clear()
            .envs(self.environment("auth"))
            .output()
            .await
            .expect("auth runs");
        assert!(
            output.status.success(),
            "auth {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Asks again and again until there is an answer; panics after 30 s, naming `what`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "30 s were not enough for {what}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no text"))
}
