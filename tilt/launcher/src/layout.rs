//! Where things lie.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The repository and the folder of one instance of the system; instances with folders of their own run side by side.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The repository.
    pub root: PathBuf,
    /// State of this instance: `pg/`, `kafka/`, `log/`, `run/`, `mail/`, `keys/`, `observe/`, `bin/`.
    pub dev: PathBuf,
    /// Binaries of the services that this instance runs.
    pub bin: PathBuf,
}

impl Layout {
    /// The instance of `./dev`: `.dev` in the repository.
    pub fn new(root: &Path) -> Self {
        Self::at(root, &root.join(".dev"))
    }

    /// An instance that keeps its state in `dev`.
    pub fn at(root: &Path, dev: &Path) -> Self {
        Self {
            root: root.to_owned(),
            dev: dev.to_owned(),
            bin: dev.join("bin"),
        }
    }

    /// Makes the folders that the launcher itself writes to.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.dev)
            .with_context(|| format!("cannot make {}", self.dev.display()))?;
        // Mails carry tokens that are good for a while, and logs tell who did what.
        for folder in [self.keys(), self.run(), self.mail(), self.log()] {
            create_private(&folder)?;
        }
        Ok(())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dev.join("log")
    }

    /// The output of one process.
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.log().join(format!("{name}.log"))
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.dev.join("run")
    }

    /// Where event-consumer puts mail, one file each.
    pub fn mail(&self) -> PathBuf {
        self.dev.join("mail")
    }

    /// Secrets, readable by their owner alone.
    pub fn keys(&self) -> PathBuf {
        self.dev.join("keys")
    }

    /// What those who watch the system keep: metrics and traces.
    pub fn observe(&self) -> PathBuf {
        self.dev.join("observe")
    }

    pub(crate) fn kafka(&self) -> PathBuf {
        self.dev.join("kafka")
    }

    /// The jars are the same for every instance.
    pub(crate) fn kafka_jars(&self) -> PathBuf {
        self.root.join(".dev/kafka/lib")
    }
}

/// A folder that its owner alone may enter, also where it was there before.
pub(crate) fn create_private(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)));
    made.with_context(|| format!("cannot make {}", folder.display()))
}

/// Writes a file that its owner alone may read; who reads meanwhile sees the old or the new content whole.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| fs::rename(&temporary, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// A name beside `path` that no other thread or process uses.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", uuid::Uuid::now_v7().simple()));
    path.with_file_name(name)
}
