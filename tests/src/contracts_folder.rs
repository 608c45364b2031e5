//! A folder of contracts that a gateway follows.

use std::fs;
use std::path::PathBuf;

use crate::stack::root;

/// Such a folder, empty at first. It goes when this is dropped.
pub struct ContractsFolder(PathBuf);

impl ContractsFolder {
    pub fn new(name: &str) -> Self {
        let path = root()
            .join(".dev/test")
            .join(format!("contracts-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// The variable by which a gateway follows it.
    pub fn setting(&self) -> (&'static str, String) {
        ("GRIMOIRE_CONTRACTS_DIR", self.0.display().to_string())
    }

    /// Puts a file there as an editor does, in one step.
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let whole = self.0.join(format!(".{name}"));
        fs::write(&whole, content).expect("a file");
        fs::rename(whole, self.0.join(name)).expect("a file");
    }

    pub fn remove(&self, name: &str) {
        fs::remove_file(self.0.join(name)).expect("a file");
    }
}

impl Drop for ContractsFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
