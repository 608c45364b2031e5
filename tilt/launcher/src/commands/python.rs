//! Tools in Python that tests use where they are there. Each has a folder of its own in .dev/tools, because what they are made of differs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::check::{installed, installs_nothing};

/// A package, and the program in it.
pub(super) struct Tool {
    folder: &'static str,
    package: &'static str,
    program: &'static str,
}

/// With the schemas of the releases of Kubernetes that tests/e2e/mesh names.
pub(super) const KUBERNETES: Tool = Tool {
    folder: "python",
    package: "kubernetes-validate==1.37.0",
    program: "kubernetes-validate",
};
/// For tests/e2e/openapi.rs.
pub(super) const OPENAPI: Tool = Tool {
    folder: "openapi",
    package: "openapi-spec-validator==0.9.0",
    program: "openapi-spec-validator",
};
pub(super) const SCHEMATHESIS: Tool = Tool {
    folder: "schemathesis",
    package: "schemathesis==4.32.5",
    program: "schemathesis",
};

impl Tool {
    /// Puts it into its folder. Where that fails, whoever needs it says so.
    pub(super) fn get(&self, root: &Path) {
        let there = installed(self.program) || self.path(root).exists();
        if there || installs_nothing() || !installed("python3") {
            return;
        }
        eprintln!("getting {} by pip, into .dev/tools", self.package);
        let folder = self.folder(root);
        let succeeds = |command: &mut Command| {
            let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
            quiet.status().is_ok_and(|status| status.success())
        };
        // A machine without a network is not kept waiting.
        let install = ["-m", "pip", "install", "--retries=1", "--timeout=10"];
        let mut python = Command::new("python3");
        let by_pip = succeeds(
            python
                .args(install)
                .arg("--target")
                .arg(&folder)
                .arg(self.package),
        );
        // Some systems give Python a pip only in an environment of its own.
        if !by_pip && succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder)) {
            succeeds(
                Command::new(folder.join("bin/python3"))
                    .args(install)
                    .arg(self.package),
            );
        }
    }

    /// What starts it; none where it is neither in its folder nor on the PATH.
    pub(super) fn command(&self, root: &Path) -> Option<Command> {
        let path = self.path(root);
        if path.exists() {
            let mut command = Command::new(path);
            // Where pip was told to put it, Python has to be told, too.
            command.env("PYTHONPATH", self.folder(root));
            return Some(command);
        }
        installed(self.program).then(|| Command::new(self.program))
    }

    fn folder(&self, root: &Path) -> PathBuf {
        root.join(".dev/tools").join(self.folder)
    }

    fn path(&self, root: &Path) -> PathBuf {
        self.folder(root).join("bin").join(self.program)
    }
}
