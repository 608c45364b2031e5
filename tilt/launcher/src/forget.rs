//! Forgetting what instances have written: `./dev reset`, and tests that begin with nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::layout::Layout;
use crate::postgres;
use crate::records::{self, InstanceLock};
use crate::topology::Topology;

/// Removes what the instance in `dev` has written, and the folders below it that are instances of their own, such as those of tests
/// and benchmarks, with all that is in them. Programs and Kafka's jars stay.
///
/// # Errors
/// Says which of the instances runs, or is used by a process that `./dev run` has become; nothing was removed then.
pub fn forget(root: &Path, dev: &Path) -> Result<()> {
    let topology = Topology::read(root)?;
    // All locks before the first removal, and held until the last: no instance starts on data that vanish.
    let mut locked = Vec::new();
    for folder in instances(dev)? {
        let layout = Layout::at(root, &folder);
        let lock = InstanceLock::take(&layout, false, &BTreeMap::new())?;
        let users = records::without_users(&layout)?;
        locked.push((layout, lock, users));
    }
    // Those that lie in others first.
    for (layout, ..) in locked.iter().rev() {
        records::end_leftovers(layout, |name| topology.kind_of(name))?;
        // Before its folder: where the data lie elsewhere, there is a link to them.
        postgres::forget(layout)?;
        if layout.dev != dev {
            remove(&layout.dev)?;
            continue;
        }
        for data in [
            layout.kafka().join("data"),
            layout.log(),
            layout.observe(),
            layout.mail(),
            layout.keys(),
        ] {
            remove(&data)?;
        }
        empty(&layout.run())?;
    }
    Ok(())
}

/// `dev`, and the folders below it that an instance has used.
fn instances(dev: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![dev.to_owned()];
    let mut folders = vec![dev.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let own = OF_AN_INSTANCE.iter().any(|name| entry.file_name() == *name);
            // Not of a link: what it leads to is somebody else's.
            if own || !entry.file_type()?.is_dir() {
                continue;
            }
            let path = entry.path();
            if ["run", "pg"]
                .iter()
                .any(|name| fs::symlink_metadata(path.join(name)).is_ok())
            {
                found.push(path.clone());
            }
            folders.push(path);
        }
    }
    Ok(found)
}

/// What an instance has in its folder; none of these is an instance.
const OF_AN_INSTANCE: [&str; 8] = [
    "bin", "kafka", "keys", "log", "mail", "observe", "pg", "run",
];

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// All but the locks: if their files were removed, somebody else would make others and lock those.
fn empty(run: &Path) -> Result<()> {
    for entry in fs::read_dir(run)? {
        let path = entry?.path();
        if path.is_dir() {
            remove(&path)?;
        } else if !path.ends_with("lock") && !path.ends_with("users.lock") {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instance with others in the folders that tests and benchmarks use. Each has data, and programs lie beside.
    fn used() -> (PathBuf, PathBuf) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dev =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        for name in ["", "test", "test/one", "bench/drain"] {
            let layout = Layout::at(&root, &dev.join(name));
            layout.create().unwrap();
            for folder in ["pg/data", "kafka/data", "observe/prometheus"] {
                fs::create_dir_all(layout.dev.join(folder)).unwrap();
            }
            fs::write(layout.mail().join("1.eml"), "").unwrap();
        }
        for programs in ["bin", "bench/bin", "kafka/lib"] {
            fs::create_dir_all(dev.join(programs)).unwrap();
            fs::write(dev.join(programs).join("program"), "").unwrap();
        }
        (root, dev)
    }

    #[test]
    fn all_instances_are_forgotten_and_programs_stay() {
        let (root, dev) = used();
        forget(&root, &dev).unwrap();
        for gone in [
            "pg",
            "kafka/data",
            "observe",
            "mail",
            "keys",
            "log",
            "run/up.json",
            "test",
            "bench/drain",
        ] {
            assert!(!dev.join(gone).exists(), "{gone}");
        }
        for kept in [
            "bin/program",
            "bench/bin/program",
            "kafka/lib/program",
            "run/lock",
        ] {
            assert!(dev.join(kept).exists(), "{kept}");
        }
        forget(&root, &dev).unwrap();
        fs::remove_dir_all(&dev).unwrap();
    }

    #[test]
    fn nothing_is_removed_while_one_of_the_instances_runs() {
        let (root, dev) = used();
        for running in ["", "test", "test/one", "bench/drain"] {
            let layout = Layout::at(&root, &dev.join(running));
            let _lock = InstanceLock::take(&layout, false, &BTreeMap::new()).unwrap();
            let error = forget(&root, &dev).unwrap_err().to_string();
            assert!(
                error.contains(&format!("as process {}", std::process::id())),
                "{error}"
            );
            nothing_is_gone(&dev);
        }
        fs::remove_dir_all(&dev).unwrap();
    }

    #[test]
    fn nothing_is_removed_while_a_process_runs_that_was_started_alone() {
        let (root, dev) = used();
        let layout = Layout::at(&root, &dev);
        let (first, second) = (
            records::hold(&layout).unwrap(),
            records::hold(&layout).unwrap(),
        );
        drop(first);
        let error = forget(&root, &dev).unwrap_err().to_string();
        assert!(error.contains("./dev run"), "{error}");
        nothing_is_gone(&dev);
        drop(second);
        forget(&root, &dev).unwrap();
        fs::remove_dir_all(&dev).unwrap();
    }

    fn nothing_is_gone(dev: &Path) {
        for name in ["", "test", "test/one", "bench/drain"] {
            assert!(dev.join(name).join("mail/1.eml").exists(), "{name}");
            assert!(dev.join(name).join("pg/data").exists(), "{name}");
        }
    }
}
