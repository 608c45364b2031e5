use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::Args;
use launcher::postgres;

use super::place;

#[derive(Debug, Args)]
pub(crate) struct Psql {
    /// auth, user or events
    database: String,
    /// What psql itself takes, such as `-c 'select 1'`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Psql {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let url = place::instance()?.database_url(&self.database)?;
        let client = postgres::client("psql")?;
        let (url, password) = split_password(&url);
        let error = Command::new(&client)
            .envs(password.map(|password| ("PGPASSWORD", password)))
            .arg(url)
            .args(&self.arguments)
            .exec();
        bail!("cannot start {}: {error}", client.display())
    }
}

/// The URL without its password, which other users could read among the arguments of a process. One that is percent-encoded
/// stays where it is: only there it is decoded.
fn split_password(url: &str) -> (String, Option<&str>) {
    let found = url.split_once("://").and_then(|(scheme, rest)| {
        let (credentials, place) = rest.split_once('@')?;
        let (user, password) = credentials
            .split_once(':')
            .filter(|(_, password)| !password.contains('%'))?;
        Some((format!("{scheme}://{user}@{place}"), password))
    });
    found.map_or_else(
        || (url.to_owned(), None),
        |(url, password)| (url, Some(password)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_leaves_the_url() {
        assert_eq!(
            split_password("postgres://auth:x_y-z@127.0.0.1:1/auth"),
            ("postgres://auth@127.0.0.1:1/auth".to_owned(), Some("x_y-z"))
        );
        for kept in [
            "postgres://auth@host/auth",
            "postgres://auth:a%40b@host/auth",
        ] {
            assert_eq!(split_password(kept), (kept.to_owned(), None));
        }
    }
}
