//! The API against its description, by Schemathesis: it makes requests that fit the description and requests that do not, and holds each answer
//! against what is described. tests/schemathesis.toml says how it signs in and what it expects.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use launcher::{Stack, StackOptions, keys};

use super::{accounts, check, python};

/// Requests for each operation.
const EXAMPLES: &str = "25";
/// Operations that change how somebody signs in: who tries them cannot sign in again, and tries nothing else.
const SENSITIVE: &str = "/x-recent-login == true";
/// What an administrator does to an account. The accounts that it finds are those that try, which would lock themselves out; tests/e2e/admin.rs
/// has these.
const TO_ACCOUNTS: &str = "/v1/admin/accounts/";
/// Limits can be raised and not switched off.
const UNLIMITED: &str = "10000/s burst 100000";

pub(super) fn run(root: &Path, bin: &Path) -> Result<()> {
    if python::SCHEMATHESIS.command(root).is_none() {
        eprintln!(
            "the API was not held against its description, for there is no schemathesis: ./dev test --full installs it where python3 has pip"
        );
        return Ok(());
    }
    let mut options = StackOptions::for_test(root, root.join(".dev/test/schemathesis"), bin);
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
    let document = format!("http://{}/openapi.json", stack.address("gateway")?);
    for (email, selection) in [
        ("ada@example.com", "--exclude-by"),
        ("grace@example.com", "--include-by"),
    ] {
        let mut command = python::SCHEMATHESIS
            .command(root)
            .context("schemathesis is gone")?;
        command
            .arg("--config-file")
            .arg(root.join("tests/schemathesis.toml"))
            .args(["run", &document, "--checks", "all"])
            .args(["--max-examples", EXAMPLES, selection, SENSITIVE])
            .args(["--exclude-path-regex", TO_ACCOUNTS])
            .env("API_EMAIL", email)
            .env("API_PASSWORD", administrator(&stack, email)?);
        check::run(&mut command)?;
    }
    stack.stop()
}

/// Makes somebody to whom every method is open; the password.
fn administrator(stack: &Stack, email: &str) -> Result<String> {
    let instance = stack.instance();
    accounts::create(instance, email, None)?;
    accounts::grant(instance, email)?;
    let file = keys::account_password(&instance.layout, email)?;
    accounts::known_password(&file)?.context("its password is gone")
}
