//! Instances with folders and ports of their own, on the real engines.

// A test ends where it cannot go on.
#![allow(clippy::unwrap_used, clippy::panic)]

mod engines;
mod observers;
mod services;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use launcher::StackOptions;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&folder).unwrap();
        // PostgreSQL runs as another user where the tests run as root.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The repository's own topology in a folder of its own.
fn options(folder: &Folder, only: &[&str]) -> StackOptions {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let mut options = StackOptions::for_test(root, &folder.0, folder.0.join("bin"));
    options.only = only.iter().map(|name| (*name).to_owned()).collect();
    options
}
