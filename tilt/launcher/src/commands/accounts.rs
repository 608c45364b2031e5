//! Accounts for development. Passwords are made up and kept in .dev/keys/users.

use std::fs;
use std::io::{ErrorKind, Write, stdout};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use launcher::instance::Instance;
use launcher::keys;
use launcher::readiness::block_on;

use super::place;
use super::rest::Client;

#[derive(Debug, Args)]
pub(crate) struct User {
    /// E-mail address
    email: String,
    /// Name to show
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Make it an admin as well
    #[arg(long)]
    admin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// E-mail address of an account
    email: String,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    /// E-mail address of an account that `./dev user` made
    email: String,
}

impl User {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let file = keys::account_password(&instance.layout, &self.email)?;
        if create(&instance, &self.email, self.display_name.as_deref())? {
            writeln!(
                stdout(),
                "made {}; its password is in {}",
                self.email,
                file.display()
            )?;
        } else {
            writeln!(
                stdout(),
                "{} exists already; its password is in {}",
                self.email,
                file.display()
            )?;
        }
        if self.admin {
            grant(&instance, &self.email)?;
        }
        writeln!(stdout(), "an access token: ./dev token {}", self.email)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Admin {
    pub(crate) fn run(self) -> Result<ExitCode> {
        grant(&place::instance()?, &self.email)?;
        writeln!(
            stdout(),
            "tokens from before do not have the role: refresh them, or take a new one by ./dev token {}",
            self.email
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Token {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        let password = known_password(&keys::account_password(&instance.layout, &self.email)?)?
            .with_context(|| {
                format!(
                    "the password of {0} is not known here: make the account by ./dev user {0}",
                    self.email
                )
            })?;
        writeln!(
            stdout(),
            "{}",
            block_on(Client::new(&instance)?.login(&self.email, &password))??
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes an account with a password of its own; `false` when it was made here before.
pub(crate) fn create(instance: &Instance, email: &str, display_name: Option<&str>) -> Result<bool> {
    let file = keys::account_password(&instance.layout, email)?;
    if known_password(&file)?.is_some() {
        return Ok(false);
    }
    let password = keys::word()?;
    let mut arguments = vec!["create-account", email];
    if let Some(name) = display_name {
        arguments.extend(["--display-name", name]);
    }
    auth(instance, &arguments, &password).with_context(|| format!("cannot make {email}"))?;
    keys::keep(&file, &password)?;
    Ok(true)
}

/// The password of an account that was made here.
pub(crate) fn known_password(file: &Path) -> Result<Option<String>> {
    match fs::read_to_string(file) {
        Ok(password) => Ok(Some(password)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

pub(crate) fn grant(instance: &Instance, email: &str) -> Result<()> {
    auth(instance, &["grant-role", email, "admin"], "")
        .with_context(|| format!("cannot make {email} an admin"))?;
    writeln!(stdout(), "{email} is an admin")?;
    Ok(())
}

/// Runs a command of the auth service, which talks to its database.
fn auth(instance: &Instance, arguments: &[&str], input: &str) -> Result<()> {
    let program = instance.layout.bin.join("auth");
    ensure!(
        program.exists(),
        "{} is not built: start the system by ./dev up",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(instance.environment_of("auth")?);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("auth has no input")?;
    match writeln!(stdin, "{input}") {
        // It may end without reading.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => drop(stdin),
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
