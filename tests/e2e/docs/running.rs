//! Runs the blocks for a shell as a reader would, in the system that all tests share: with its ports, and a stand-in for `./dev`, which
//! knows the system of `./dev up` alone.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use launcher::topology::Topology;
use tests::stack::{TestStack, eventually, root, shared};
use tokio::process::Command;

use super::blocks::{Block, blocks};

/// How each block that is run begins, and what must stand in its output.
const SHOWN: &[(&str, &[&str])] = &[
    (
        "api=http://127.0.0.1:5000",
        &[
            r#""email":"ada-"#,
            "LOGGED_IN",
            "PROFILE_UPDATED",
            "Writes notes on engines.",
            "TOKEN_REVOKED",
        ],
    ),
    (
        "./dev user ada@example.com",
        &[
            "grimoire.audit.v1.AuditService",
            "grimoire.user.v1.ProfileService is a service",
            r#""etag""#,
        ],
    ),
    (
        "token=$(./dev token ada@example.com)",
        &[r#""sessions""#, r#""activities""#, r#""auditRecords""#],
    ),
    ("./dev user root@example.com", &[r#""auditRecords":[{"#]),
    (
        "grpcurl -plaintext 127.0.0.1:5000 list grimoire.user.v1.ProfileService",
        &[
            "grimoire.user.v1.ProfileService.UpdateProfile",
            "Account id, or `me`.",
            "grimoire.user.v1.UserDataService",
        ],
    ),
    ("bearer=", &["Calls by gRPC."]),
    (
        "grpcurl -plaintext -d '{\"user\": \"me\"}'",
        &[
            r#""reason": "TOKEN_MISSING""#,
            "exit code 80",
            r#""field": "email""#,
            "exit code 67",
        ],
    ),
    (
        "# SERVING, and",
        &[r#""status": "SERVING""#, "exit code 68"],
    ),
    ("# Of the gateway, and", &[r#""status": "SERVING""#]),
];

/// Mails that `dev mail` waits for are put into its folder by [`deliver`].
const DEV: &str = r#"#!/bin/sh
case $1 in
  user) ;;
  token) exec cat "tokens/$2" ;;
  mail)
    for _ in $(seq 100); do
      [ ! -f "mail/$2" ] || exec cat "mail/$2"
      sleep 0.1
    done
    exit 1 ;;
  *) echo "no stand-in for ./dev $1" >&2; exit 2 ;;
esac
"#;

#[tokio::test]
async fn what_a_reader_pastes_does_what_is_said_beside_it() {
    let stack = shared().await;
    let folder = prepare(stack).await;
    let (blocks, grpcurl) = (blocks(), grpcurl());
    let mut run = 0;
    for block in blocks.iter().filter(|block| block.info == "sh") {
        let (_, expected) = SHOWN
            .iter()
            .find(|(beginning, _)| block.text.starts_with(beginning))
            .unwrap_or_else(|| panic!("nothing says what this shows:\n{}", block.text));
        run += 1;
        if block.text.contains("grpcurl ") && grpcurl.is_none() {
            eprintln!(
                "a block of {} was not run, for there is no grpcurl: \
                 go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3",
                block.document
            );
            continue;
        }
        let shown = tokio::select! {
            shown = execute(stack, block, &folder, grpcurl.as_deref()) => shown,
            never = deliver(stack, &folder) => match never {},
        };
        for text in *expected {
            assert!(
                shown.contains(text),
                "{} shows no `{text}`:\n{}\n{shown}",
                block.document,
                block.text
            );
        }
    }
    assert_eq!(run, SHOWN.len(), "a block that should be run is not there");
    fs::remove_dir_all(folder).expect("the folder is ours");
}

/// A folder with the stand-in and tokens of people whose events have taken effect.
async fn prepare(stack: &TestStack) -> PathBuf {
    let folder = root()
        .join(".dev/test")
        .join(format!("docs-{}", std::process::id()));
    for name in ["mail", "tokens"] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let dev = folder.join("dev");
    fs::write(&dev, DEV).expect("a file");
    fs::set_permissions(&dev, fs::Permissions::from_mode(0o755)).expect("a program");

    let (ada, admin) = (stack.sign_up().await, stack.admin().await);
    for (email, person) in [("ada@example.com", &ada), ("root@example.com", &admin)] {
        let token = person.tokens["accessToken"].as_str().expect("a token");
        fs::write(folder.join("tokens").join(email), format!("{token}\n")).expect("a file");
    }
    for (client, path) in [
        (&ada.client, "/v1/users/me/activities"),
        (
            &admin.client,
            "/v1/admin/auditRecords?type=ACCOUNT_REGISTERED",
        ),
    ] {
        eventually(path, || async {
            client
                .get(path)
                .await
                .ok()
                .to_string()
                .contains("ACCOUNT_REGISTERED")
                .then_some(())
        })
        .await;
    }
    folder
}

/// Puts the token of each mail where the stand-in looks for it.
async fn deliver(stack: &TestStack, folder: &Path) -> Infallible {
    loop {
        for mail in stack.smtp.mails() {
            let file = folder.join("mail").join(&mail.recipient);
            if let Some(token) = mail.token().filter(|_| !file.exists()) {
                // Whole or not at all: the stand-in reads it as soon as it is there.
                let partial = folder.join("mail.partial");
                fs::write(&partial, format!("{token}\n")).expect("a file");
                fs::rename(&partial, &file).expect("a file");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the block writes. Panics when it fails.
async fn execute(
    stack: &TestStack,
    block: &Block,
    folder: &Path,
    grpcurl: Option<&Path>,
) -> String {
    let mut path = std::env::var("PATH").expect("a PATH");
    if let Some(bin) = grpcurl.and_then(Path::parent) {
        path = format!("{path}:{}", bin.display());
    }
    let mut command = Command::new("sh");
    command
        .arg("-euc")
        .arg(moved(stack, &block.text))
        .current_dir(folder)
        .env("PATH", path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .unwrap_or_else(|_| panic!("a minute was not enough for\n{}", block.text))
        .expect("a shell");
    let (shown, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(
        output.status.success(),
        "{}: {}\n{}\n{shown}\n{errors}",
        block.document,
        output.status,
        block.text
    );
    shown
}

/// The text with the ports of this system.
fn moved(stack: &TestStack, text: &str) -> String {
    let topology = Topology::read(&root()).expect("a topology");
    let mut ports: Vec<(u16, &String)> = topology
        .services()
        .filter_map(|(name, process)| Some((process.port?, name)))
        .collect();
    // 127.0.0.1:5000 is how 127.0.0.1:50051 begins.
    ports.sort_by(|one, other| other.cmp(one));
    ports
        .into_iter()
        .fold(text.to_owned(), |text, (port, name)| {
            let address = stack.stack.address(name).expect("it serves").to_string();
            text.replace(&format!("127.0.0.1:{port}"), &address)
        })
}

/// On the PATH, or where `go install` puts it.
fn grpcurl() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("HOME").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from(home).join("go/bin")])
        .map(|folder| folder.join("grpcurl"))
        .find(|program| program.is_file())
}
