//! Programs in Go that watch the system. Their modules are in the repository, with checksums of everything they are made of.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::check::{self, installed};

const FOLDER: &str = ".dev/tools/go";

/// A program, and the module that it is built in.
pub(super) struct Program {
    /// Where its go.mod and go.sum are.
    module: &'static str,
    package: &'static str,
    name: &'static str,
    /// What releases of it are called.
    released: &'static str,
}

pub(super) const COLLECTOR: Program = Program {
    module: "observability/collector/program",
    package: ".",
    name: "otelcol",
    released: "otelcol-contrib",
};
pub(super) const JAEGER: Program = Program {
    module: "observability/jaeger",
    package: "github.com/jaegertracing/jaeger/cmd/jaeger",
    name: "jaeger",
    released: "jaeger",
};

impl Program {
    /// Builds it where it is not there, and says why it cannot.
    pub(super) fn get(&self, root: &Path) -> Option<PathBuf> {
        if let Some(path) = self.there(root) {
            return Some(path);
        }
        let wanted = format!("there is no {} on the PATH", self.released);
        if !installed("go") {
            eprintln!("{wanted}, and no go to build it");
            return None;
        }
        if std::env::var_os("DEV_INSTALL").is_some_and(|install| install == "no") {
            eprintln!("{wanted}, and --no-install forbids to get what it is made of");
            return None;
        }
        eprintln!(
            "{wanted}: building it by go, into .dev/tools; the first time takes some minutes"
        );
        let path = self.path(root);
        if let Err(error) = self.build(root, &path) {
            eprintln!("{} was not built: {error:#}", self.name);
        }
        self.there(root)
    }

    fn build(&self, root: &Path, path: &Path) -> Result<()> {
        fs::create_dir_all(root.join(FOLDER))?;
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"])
            .arg("-o")
            .arg(path)
            .arg(self.package)
            .current_dir(root.join(self.module));
        check::run(&mut go)?;
        fs::copy(self.made_of(root), path.with_extension("mod"))?;
        Ok(())
    }

    /// Where it is. A release goes first, for it has every component.
    pub(super) fn there(&self, root: &Path) -> Option<PathBuf> {
        if installed(self.released) {
            return Some(PathBuf::from(self.released));
        }
        let path = self.path(root);
        // Built of what the repository names now.
        let fits =
            fs::read(path.with_extension("mod")).ok()? == fs::read(self.made_of(root)).ok()?;
        (fits && path.exists()).then_some(path)
    }

    fn made_of(&self, root: &Path) -> PathBuf {
        root.join(self.module).join("go.mod")
    }

    fn path(&self, root: &Path) -> PathBuf {
        root.join(FOLDER).join(self.name)
    }
}
