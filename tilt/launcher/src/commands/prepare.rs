//! Renews what is made from the code and checked in: .sqlx, descriptions of the SQL statements, so that they are checked
//! without a database, docs/configuration.md, docs/reference.md, the routes of mesh/, and the dashboards and rules in observability/.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use launcher::readiness::block_on;
use launcher::{Stack, StackOptions};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{cargo, place};

/// A crate whose statements are checked against a database.
struct Checked {
    name: String,
    folder: PathBuf,
    /// Variable that its sqlx.toml names.
    variable: String,
    /// Folders of crates whose migrations make its database, in order.
    migrations: Vec<PathBuf>,
}

pub(crate) fn run() -> Result<ExitCode> {
    let root = place::root()?;
    let crates = crates(&root)?;
    ensure!(!crates.is_empty(), "no crate has an sqlx.toml");
    let folder = root.join(".dev/prepare");
    let mut options = StackOptions::for_test(&root, &folder, folder.join("bin"));
    options.only = vec!["postgres".into()];
    let stack = Stack::start(options)?;
    let server = stack.instance().superuser_url()?;

    let mut check = cargo::command(&root);
    check
        .args(["check", "--workspace", "--all-targets"])
        .env("SQLX_OFFLINE", "false");
    for checked in &crates {
        check.env(
            &checked.variable,
            block_on(make_database(&server, checked))?.with_context(|| checked.name.clone())?,
        );
    }
    let directed = crates
        .iter()
        .map(|checked| Directed::new(&folder, checked))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        check.status().context("cannot start cargo")?.success(),
        "the build failed: .sqlx is as it was"
    );
    for directed in &directed {
        println!("{}: {} statements", directed.name, directed.install()?);
    }
    drop(directed);
    stack.stop()?;

    // The tests that hold these against programs and contracts write them.
    let written = cargo::command(&root)
        .args(["test", "--quiet", "--workspace", "--test", "e2e", "--"])
        .args(["the_reference_is", "routes::the_routes_are"])
        .env("UPDATE_DOCS", "1")
        .status()
        .context("cannot start cargo")?;
    ensure!(
        written.success(),
        "docs/configuration.md, docs/reference.md and mesh/base/*/routes.yaml are as they were"
    );
    println!("docs/configuration.md, docs/reference.md, mesh/base/*/routes.yaml");

    let programs = folder.join("bin");
    cargo::build(&root, false, &["dashboards".to_owned()], &programs)?;
    let written = Command::new(programs.join("dashboards"))
        .status()
        .context("cannot start dashboards")?;
    ensure!(written.success(), "observability/ is as it was");
    Ok(ExitCode::SUCCESS)
}

/// Where the macros of one crate write, said by a `.env` in its folder, which they read: the variable itself would hold for all
/// crates of a build.
struct Directed {
    name: String,
    env: PathBuf,
    written: PathBuf,
    installed: PathBuf,
}

impl Directed {
    fn new(folder: &Path, checked: &Checked) -> Result<Self> {
        let written = folder.join("sqlx").join(&checked.name);
        if written.exists() {
            fs::remove_dir_all(&written)?;
        }
        fs::create_dir_all(&written)?;
        let env = checked.folder.join(".env");
        // One of ours is what a run that was killed left behind.
        let ours = fs::read_to_string(&env).is_ok_and(|text| text.starts_with("SQLX_OFFLINE_DIR="));
        ensure!(
            ours || !env.exists(),
            "{} exists: move it away",
            env.display()
        );
        fs::write(
            &env,
            format!("SQLX_OFFLINE_DIR=\"{}\"\n", written.display()),
        )?;
        // cargo does not know of the database: only a newer file makes it compile again.
        for source in ["src/lib.rs", "src/main.rs"].map(|file| checked.folder.join(file)) {
            if source.exists() {
                File::options()
                    .append(true)
                    .open(source)?
                    .set_modified(SystemTime::now())?;
            }
        }
        Ok(Self {
            name: checked.name.clone(),
            env,
            written,
            installed: checked.folder.join(".sqlx"),
        })
    }

    /// Replaces what the crate had; the number of statements.
    fn install(&self) -> Result<usize> {
        if self.installed.exists() {
            fs::remove_dir_all(&self.installed)?;
        }
        fs::create_dir_all(&self.installed)?;
        let mut count = 0;
        for entry in fs::read_dir(&self.written)? {
            let entry = entry?;
            fs::copy(entry.path(), self.installed.join(entry.file_name()))?;
            count += 1;
        }
        Ok(count)
    }
}

impl Drop for Directed {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.env) {
            eprintln!(
                "./dev prepare: cannot remove {}: {error}",
                self.env.display()
            );
        }
    }
}

/// The crates of the workspace that have an sqlx.toml. Their databases hold their own migrations and those of the crates that
/// they are built on, which come first.
fn crates(root: &Path) -> Result<Vec<Checked>> {
    let output = cargo::command(root)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let mut folders = BTreeMap::new();
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let name = package["name"]
            .as_str()
            .context("a package has no name")?
            .to_owned();
        let manifest = PathBuf::from(
            package["manifest_path"]
                .as_str()
                .context("a package has no manifest")?,
        );
        let normal = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].is_null());
        uses.insert(
            name.clone(),
            normal
                .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
                .collect(),
        );
        folders.insert(
            name,
            manifest
                .parent()
                .context("a manifest has no folder")?
                .to_owned(),
        );
    }
    let mut crates = Vec::new();
    for (name, folder) in &folders {
        let Ok(settings) = fs::read_to_string(folder.join("sqlx.toml")) else {
            continue;
        };
        let variable = quoted(&settings, "database-url-var")
            .pop()
            .with_context(|| format!("{name}: sqlx.toml has no database-url-var"))?;
        let built_on: BTreeSet<&String> = uses[name].iter().collect();
        let migrations = built_on
            .into_iter()
            .filter_map(|used| folders.get(used))
            .chain([folder])
            .filter(|folder| folder.join("migrations").exists())
            .cloned()
            .collect();
        crates.push(Checked {
            name: name.clone(),
            folder: folder.clone(),
            variable,
            migrations,
        });
    }
    Ok(crates)
}

/// A new database with all migrations of a crate; its URL.
async fn make_database(server: &str, checked: &Checked) -> Result<String> {
    let name = checked.name.replace('-', "_");
    let mut superuser = PgConnection::connect(server).await?;
    for statement in [
        format!("drop database if exists \"{name}\" with (force)"),
        format!("create database \"{name}\""),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut superuser)
            .await?;
    }
    superuser.close().await?;
    let (place, _) = server
        .rsplit_once('/')
        .context("the server's URL has no database")?;
    let url = format!("{place}/{name}");
    let mut connection = PgConnection::connect(&url).await?;
    for folder in &checked.migrations {
        let settings = fs::read_to_string(folder.join("sqlx.toml")).unwrap_or_default();
        for schema in quoted(&settings, "create-schemas") {
            sqlx::raw_sql(AssertSqlSafe(format!(
                "create schema if not exists \"{schema}\""
            )))
            .execute(&mut connection)
            .await?;
        }
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder.join("migrations"))? {
            files.push(entry?.path());
        }
        files.sort();
        for file in files
            .into_iter()
            .filter(|file| file.extension().is_some_and(|extension| extension == "sql"))
        {
            let sql = fs::read_to_string(&file)?;
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .with_context(|| file.display().to_string())?;
        }
    }
    connection.close().await?;
    Ok(url)
}

/// The quoted words on the line of a setting.
fn quoted(settings: &str, name: &str) -> Vec<String> {
    let line = settings
        .lines()
        .find(|line| line.trim_start().starts_with(name))
        .unwrap_or_default();
    line.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_crate_are_read() {
        let settings = "[common]\ndatabase-url-var = \"OUTBOX_PREPARE_URL\"\n[migrate]\ncreate-schemas = [\"outbox\", \"more\"]\n";
        assert_eq!(quoted(settings, "database-url-var"), ["OUTBOX_PREPARE_URL"]);
        assert_eq!(quoted(settings, "create-schemas"), ["outbox", "more"]);
        assert!(quoted("", "create-schemas").is_empty());
    }
}
