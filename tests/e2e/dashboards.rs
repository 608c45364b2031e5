//! Every expression of a panel and of a rule has an answer in a system that lives. A metric that is renamed, or that a program no
//! longer tells, fails here.

use std::convert::Infallible;
use std::fs;
use std::time::{Duration, Instant};

use dashboards::{Rule, STEP, dashboards, rule_files};
use serde_json::json;
use tests::prometheus::Prometheus;
use tests::recorded;
use tests::stack::{Person, TestStack, root, shared};

/// An expression, and where it stands.
struct Asked {
    place: String,
    expr: String,
    /// What came of the last try.
    answer: String,
}

#[tokio::test]
async fn every_panel_and_every_rule_has_an_answer() {
    let system = shared().await;
    let recording = root().join("observability/prometheus/tests/linkerd-proxy.prom");
    let recording = fs::read_to_string(recording).expect("a recorded sidecar");
    let sidecar = recorded::serve(recording).await;
    let prometheus = Prometheus::start(system, &[("linkerd-proxy", sidecar)]).await;
    let admin = system.admin().await;

    let silent = tokio::select! {
        silent = ask(&prometheus, expressions()) => silent,
        never = traffic(system, &admin) => match never {},
    };
    let silent: Vec<String> = silent
        .into_iter()
        .map(|asked| format!("{}: {}\n    {}", asked.place, asked.answer, asked.expr))
        .collect();
    assert!(
        silent.is_empty(),
        "these have no answer after a minute of traffic:\n{}",
        silent.join("\n")
    );
}

/// All of them, as Prometheus takes them.
fn expressions() -> Vec<Asked> {
    let mut all = Vec::new();
    let mut add = |place: String, expr: String| {
        all.push(Asked {
            place,
            expr,
            answer: String::new(),
        });
    };
    for board in dashboards() {
        for panel in board.panels() {
            for target in &panel.targets {
                let place = format!("{}: {}", board.title, panel.title);
                add(place, target.expr.replace(STEP, "1m"));
            }
        }
    }
    for file in rule_files() {
        for rule in &file.rules {
            match rule {
                Rule::Record { name, expr } => add(name.clone(), expr.clone()),
                Rule::Alert { name, expr, .. } => add((*name).to_owned(), compared(expr)),
            }
        }
    }
    all
}

/// An alert has an answer while it fires; with `bool` its comparisons answer 0 or 1 at any time.
fn compared(expr: &str) -> String {
    let words = expr.split_whitespace().map(|word| match word {
        ">" => "> bool",
        "<" => "< bool",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Asks until all have an answer that is a number, for a minute; those that have none. Prints how many series the others have.
async fn ask(prometheus: &Prometheus, mut left: Vec<Asked>) -> Vec<Asked> {
    let begun = Instant::now();
    while !left.is_empty() && begun.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut silent = Vec::new();
        for mut asked in left {
            asked.answer = match prometheus.ask(&asked.expr).await {
                Ok(samples) if samples.iter().any(|sample| !sample.is_nan()) => {
                    println!("{:>5} {}", samples.len(), asked.place);
                    continue;
                }
                Ok(samples) if samples.is_empty() => "no series".to_owned(),
                Ok(_) => "not a number".to_owned(),
                Err(error) => error,
            };
            silent.push(asked);
        }
        left = silent;
    }
    left
}

/// What people do, again and again, so that there is something to see.
async fn traffic(system: &TestStack, admin: &Person) -> Infallible {
    loop {
        let person = system.sign_up().await;
        // At once: user sees the account before its event does, and asks auth.
        for bio in ["Analyst", "Writes notes on engines."] {
            let changed = person.client.patch("/v1/users/me", json!({"bio": bio}));
            changed.await.ok();
        }
        let client = system.client();
        let login = json!({"email": person.email, "password": person.password});
        let tokens = client.post("/v1/sessions:login", login).await.ok()["tokens"].clone();
        person.client.get("/v1/users/me/activities").await.ok();
        admin.client.get("/v1/admin/auditRecords").await.ok();

        let refresh = json!({"refreshToken": tokens["refreshToken"]});
        let tokens = client.post("/v1/sessions:refresh", refresh).await.ok();
        let signed_in = client.with_token(tokens["accessToken"].as_str().expect("a token"));
        signed_in.post("/v1/sessions:logout", json!({})).await.ok();

        let wrong = json!({"email": person.email, "password": "not the secret 17"});
        let mut last = client.post("/v1/sessions:login", wrong.clone()).await;
        last.problem(401, "INVALID_CREDENTIALS");
        while last.status == 401 {
            last = client.post("/v1/sessions:login", wrong.clone()).await;
        }
        last.problem(429, "RATE_LIMITED");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
