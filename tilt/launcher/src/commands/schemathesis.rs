//! The API against its description, by Schemathesis: it makes requests that fit the description and requests that do not, and holds each answer
//! against what is described. tests/schemathesis.toml says what it expects, and tests/schemathesis.py who makes the requests.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use launcher::{Stack, StackOptions, keys};
use serde_json::{Value, json};

use super::{accounts, check, python};

/// Requests for each operation.
const EXAMPLES: &str = "25";
/// More than what is tried takes from those who try it.
const PEOPLE: usize = 40;
/// They cannot lock, disable or delete themselves, but force each other's passwords and take each other's role away.
const ADMINS: usize = 12;
/// The role.
const ADMIN: &str = "admin";
/// Limits can be raised and not switched off.
const UNLIMITED: &str = "10000/s burst 100000";

pub(super) fn run(root: &Path, bin: &Path) -> Result<()> {
    let Some(mut command) = python::SCHEMATHESIS.command(root) else {
        eprintln!(
            "the API was not held against its description, for there is no schemathesis: ./dev test --full installs it where python3 has pip"
        );
        return Ok(());
    };
    let folder = root.join(".dev/test/schemathesis");
    let mut options = StackOptions::for_test(root, &folder, bin);
    let classes = ["credentials", "search", "admin"]
        .map(|class| format!("{class}={UNLIMITED} per address"))
        .join(",");
    let limits = [
        ("GRIMOIRE_LIMIT_ADDRESS", UNLIMITED),
        ("GRIMOIRE_LIMIT_ACCOUNT", UNLIMITED),
        ("GRIMOIRE_LIMIT_CLASSES", &classes),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    options.overrides = BTreeMap::from([("gateway".to_owned(), BTreeMap::from(limits))]);
    let stack = Stack::start(options)?;
    let url = format!("http://{}", stack.address("gateway")?);
    let accounts = json!({
        "people": made(&stack, "person", PEOPLE)?,
        "admins": made(&stack, ADMIN, ADMINS)?,
    });
    command
        // It keeps what it found beside it.
        .current_dir(&folder)
        .arg("--config-file")
        .arg(root.join("tests/schemathesis.toml"))
        .args(["run", &format!("{url}/openapi.json"), "--checks", "all"])
        .args(["--max-examples", EXAMPLES])
        .env("SCHEMATHESIS_HOOKS", root.join("tests/schemathesis.py"))
        .env("API_URL", &url)
        .env("API_ACCOUNTS", accounts.to_string());
    check::run(&mut command)?;
    stack.stop()
}

/// What each of so many new accounts signs in with.
fn made(stack: &Stack, role: &str, count: usize) -> Result<Vec<Value>> {
    let instance = stack.instance();
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let email = format!("{role}{number}@example.com");
        accounts::create(instance, &email, None)?;
        if role == ADMIN {
            accounts::grant(instance, &email)?;
        }
        let file = keys::account_password(&instance.layout, &email)?;
        let password = accounts::known_password(&file)?.context("its password is gone")?;
        made.push(json!({"email": email, "password": password}));
    }
    Ok(made)
}
