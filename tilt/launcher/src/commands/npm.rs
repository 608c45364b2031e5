//! Tools from npm that tests use where they are there: what tests/browser/package-lock.json names, in tests/browser/node_modules.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::check::{installed, installs_nothing};

/// Puts them there. Where that fails, whoever needs one says so.
pub(super) fn get(root: &Path) {
    let folder = root.join("tests/browser");
    if installs_nothing() || !installed("npm") || is_there(&folder) {
        return;
    }
    eprintln!("getting tools by npm, into tests/browser/node_modules");
    let mut npm = Command::new("npm");
    // Whatever comes as a program comes in a package: no script of a package is run. A machine without a network is not kept waiting.
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args(["--fetch-retries=1", "--fetch-timeout=30000"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if !npm.status().is_ok_and(|status| status.success()) {
        eprintln!("npm could not get them");
    }
}

/// Whether they were put there after they were chosen. npm leaves a list of what it has put there when it has.
fn is_there(folder: &Path) -> bool {
    let time = |path: &str| fs::metadata(folder.join(path)).and_then(|file| file.modified());
    let put = time("node_modules/.package-lock.json");
    let chosen = time("package-lock.json");
    matches!((put, chosen), (Ok(put), Ok(chosen)) if put >= chosen)
}
