//! The API against its description, by Schemathesis: it makes requests that fit the description and requests that do not, and holds each answer
//! against what is described. tests/schemathesis.toml says what it expects.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use launcher::readiness::block_on;
use launcher::{Stack, StackOptions, keys};

use super::rest::Client;
use super::{accounts, check, python};

/// Requests for each operation and phase.
const EXAMPLES: &str = "25";
/// Operations that change how somebody signs in, and so end the tokens that others are tried with.
const SENSITIVE: &str = "/x-recent-login == true";
/// Of addresses and accounts: limits can be raised and not switched off.
const UNLIMITED: &str = "10000/s burst 100000";

pub(super) fn run(root: &Path, bin: &Path) -> Result<()> {
    if python::SCHEMATHESIS.command(root).is_none() {
        eprintln!(
            "the API was not held against its description, for there is no schemathesis: ./dev test --full installs it where python3 has pip"
        );
        return Ok(());
    }
    let mut options = StackOptions::for_test(root, root.join(".dev/test/schemathesis"), bin);
    let limits = [
        "GRIMOIRE_LIMIT_ADDRESS",
        "GRIMOIRE_LIMIT_ACCOUNT",
        "GRIMOIRE_LIMIT_CREDENTIALS",
    ]
    .map(|name| (name.to_owned(), UNLIMITED.to_owned()));
    // The longest that there is: a run has to end within it.
    let lifetime = (
        "GRIMOIRE_ACCESS_TOKEN_LIFETIME".to_owned(),
        "600".to_owned(),
    );
    options.overrides = BTreeMap::from([
        ("gateway".to_owned(), BTreeMap::from(limits)),
        ("auth".to_owned(), BTreeMap::from([lifetime])),
    ]);
    let stack = Stack::start(options)?;
    for (email, selection) in [
        ("reader@example.com", "--exclude-by"),
        ("changer@example.com", "--include-by"),
    ] {
        let token = sign_up(&stack, email)?;
        let mut command = python::SCHEMATHESIS
            .command(root)
            .context("schemathesis is gone")?;
        command
            .arg("--config-file")
            .arg(root.join("tests/schemathesis.toml"))
            .arg("run")
            .arg(format!("http://{}/openapi.json", stack.address("gateway")?))
            .args(["--checks", "all", "--max-examples", EXAMPLES])
            .args([selection, SENSITIVE])
            .args(["--header", &format!("Authorization: Bearer {token}")]);
        check::run(&mut command)?;
    }
    stack.stop()
}

/// An administrator, to whom every method is open; an access token.
fn sign_up(stack: &Stack, email: &str) -> Result<String> {
    let instance = stack.instance();
    accounts::create(instance, email, None)?;
    accounts::grant(instance, email)?;
    let file = keys::account_password(&instance.layout, email)?;
    let password = accounts::known_password(&file)?.context("its password is gone")?;
    block_on(Client::new(instance)?.login(email, &password))?
}
