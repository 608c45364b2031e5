//! What a browser makes of it: clients of gRPC-Web and REST on pages of other origins, and the page /docs. The pages, and what is done there, are
//! in tests/browser.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tests::rest::next_address;
use tests::stack::{Person, root, shared};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// `grpc-web` reads its text format, which is base64, as it comes, and its binary one at the end.
const CLIENTS: [&str; 3] = ["connect-web", "grpc-web-text", "grpc-web"];
/// How a Chromium is called: on the PATH, and on macOS.
const CHROMIUMS: [&str; 4] = [
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const PATIENCE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_client_on_a_page_of_another_origin_calls_with_its_token() {
    let Some((seen, person)) = visited().await else {
        return;
    };
    for name in CLIENTS {
        let page = &seen["calls"][name];
        let call = &page["signedIn"];
        assert_eq!(call["code"], "ok", "{name}: {call}");
        assert_eq!(call["answer"]["id"], *person.account, "{name}");
        for header in ["x-request-id", "ratelimit", "ratelimit-policy"] {
            assert!(call["head"][header].is_string(), "{name}: {call}");
        }
        // It is sent, and nothing says that the page may read it.
        assert_eq!(call["head"]["vary"], Value::Null, "{name}");
        assert_eq!(page["console"], json!([]), "{name}");
    }
    let asked = seen["preflights"].as_u64();
    assert!(asked >= Some(3), "the browser did not ask before it sent");
    let rest = &seen["rest"];
    assert_eq!(rest["status"], 200, "{rest}");
    assert_eq!(rest["body"]["bio"], "Written in a browser.");
    assert!(rest["ratelimit"].is_string(), "{rest}");
}

#[tokio::test]
async fn a_client_reads_why_it_was_refused() {
    let Some((seen, _)) = visited().await else {
        return;
    };
    for name in CLIENTS {
        let call = &seen["calls"][name]["signedOut"];
        assert_eq!(call["code"], "unauthenticated", "{name}: {call}");
        assert_eq!(call["reason"], "TOKEN_MISSING", "{name}");
        let call = &seen["calls"][name]["invalid"];
        assert_eq!(call["code"], "invalid_argument", "{name}: {call}");
        assert_eq!(call["reason"], "INVALID_FIELD", "{name}");
        let violations = json!([{"field": "email", "reason": "INVALID_FIELD"}]);
        assert_eq!(call["violations"], violations, "{name}");
    }
}

#[tokio::test]
async fn a_stream_reaches_a_page_until_its_end_its_deadline_or_until_it_is_cancelled() {
    let Some((seen, _)) = visited().await else {
        return;
    };
    let serving = json!([1]);
    for name in CLIENTS {
        let stream = &seen["calls"][name]["exported"];
        assert_eq!(stream["code"], "ok", "{name}: {stream}");
        assert_eq!(stream["answer"][0], "account", "{name}: {stream}");
        let stream = &seen["calls"][name]["late"];
        assert_eq!(stream["code"], "deadline_exceeded", "{name}: {stream}");
        assert_eq!(stream["answer"], serving, "{name}");
        let streams = seen["calls"][name]["cancelled"].as_array().expect(name);
        // More than the gateway lets one address have open: it knows which are over.
        assert_eq!(streams.len(), if name == "grpc-web" { 0 } else { 60 });
        for stream in streams {
            assert_eq!(stream["code"], "canceled", "{name}: {stream}");
            assert_eq!(stream["answer"], serving, "{name}");
        }
    }
}

#[tokio::test]
async fn a_page_of_an_origin_that_is_not_allowed_sends_no_token_and_reads_nothing() {
    let Some((seen, _)) = visited().await else {
        return;
    };
    for name in CLIENTS {
        let call = &seen["strange"][name];
        assert_eq!(call["code"], "unknown", "{name}: {call}");
        for read in [&call["answer"], &call["reason"], &call["head"]["ratelimit"]] {
            assert_eq!(*read, Value::Null, "{name}: {call}");
        }
        let told = call["console"][0].as_str().unwrap_or_default();
        let blocked = "blocked by CORS policy: Response to preflight request doesn't pass";
        assert!(told.contains(blocked), "{name}: {call}");
    }
}

#[tokio::test]
async fn who_looks_at_docs_signs_in_there_calls_and_stays_signed_in() {
    let Some((seen, person)) = visited().await else {
        return;
    };
    for (name, ground) in [
        ("desktop", "rgb(255, 255, 255)"),
        ("phone", "rgb(28, 32, 34)"),
    ] {
        let page = &seen["docs"][name];
        let refused = page["refused"].as_str().unwrap_or_default();
        assert!(refused.contains("password is wrong"), "{name}: {page}");
        assert_eq!(page["profile"]["id"], *person.account, "{name}");
        // With the token that came for the one that was about to end.
        assert_eq!(page["exchanged"], 1, "{name}");
        assert_eq!(page["again"]["id"], *person.account, "{name}");
        assert_eq!(page["signedOut"]["reason"], "TOKEN_MISSING", "{name}");
        // A lock is closed where a call is made with a token.
        let locks = (&page["closedBefore"], &page["closedAfter"]);
        assert_eq!(locks, (&json!(0), &json!(1)), "{name}");
        assert_eq!(page["overflow"], 0, "{name} is wider than the window");
        assert_eq!(page["ground"], ground, "{name}");
        // A page that wants more than its policy allows is told so there.
        let console = page["console"].as_array().expect("lines");
        for line in console.iter().filter_map(Value::as_str) {
            assert!(line.contains("status of 401"), "{name}: {line}");
        }
    }
}

/// What the pages saw, and who called from there; none where there is no browser.
async fn visited() -> Option<&'static (Value, Person)> {
    static VISITED: OnceCell<Option<(Value, Person)>> = OnceCell::const_new();
    let visited = VISITED.get_or_init(|| async {
        match browser() {
            Ok(chromium) => Some(visit(&chromium).await),
            Err(missing) => {
                eprintln!("no page was opened in a browser, for there is {missing}");
                None
            }
        }
    });
    visited.await.as_ref()
}

/// The browser, where there is also what tests/browser is made with; else what is missing.
fn browser() -> Result<PathBuf, &'static str> {
    if !pages().join("node_modules/.package-lock.json").is_file() {
        return Err(
            "no tests/browser/node_modules: ./dev test installs it where there is npm, of Node.js 20 or newer",
        );
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| CHROMIUMS.map(|name| folder.join(name)))
        .find(|program| program.is_file())
        .ok_or("no chromium: install the package chromium, or Google Chrome")
}

async fn visit(chromium: &Path) -> (Value, Person) {
    let mut npm = Command::new("npm");
    finished(npm.args(["run", "--silent", "build"]), "").await;

    let stack = shared().await;
    let person = stack.sign_up().await;
    let screenshots = root().join(".dev/test/browser");
    std::fs::create_dir_all(&screenshots).expect("a folder");
    let addresses: Vec<_> = (0..16).map(|_| next_address()).collect();
    let given = json!({
        "gateway": stack.stack.address("gateway").expect("the gateway serves"),
        "addresses": addresses,
        "chromium": chromium,
        "screenshots": screenshots,
        "email": person.email,
        "password": person.password,
        "token": person.tokens["accessToken"],
    });
    let mut node = Command::new("node");
    let seen = finished(node.arg("run.mjs"), &given.to_string()).await;
    (serde_json::from_str(&seen).expect("JSON"), person)
}

/// Runs a program in tests/browser with this input; what it writes. Panics where it fails.
async fn finished(command: &mut Command, input: &str) -> String {
    command
        .current_dir(pages())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("Node.js is there");
    let mut stdin = child.stdin.take().expect("a pipe");
    // Why it did not read all, it says at its end.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{PATIENCE:?} were not enough for {command:?}"))
        .expect("an end");
    let (written, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{written}\n{errors}");
    written
}

fn pages() -> PathBuf {
    root().join("tests/browser")
}
