//! Processes that `./dev run` became. No launcher watches them; `.dev/run/alone` says who they are, for commands that look for them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::instance::Instance;
use crate::layout::{Layout, create_private, write_private};
use crate::process::Identity;
use crate::records::polite_signal;

/// Notes who becomes `name`: this process, whose number and beginning stay the same.
pub(crate) fn note(layout: &Layout, name: &str) -> Result<()> {
    let folder = layout.run().join("alone");
    create_private(&folder)?;
    let identity = serde_json::to_vec(&Identity::own()?)?;
    write_private(&folder.join(format!("{name}.json")), &identity)
}

/// The one that `./dev run NAME` became, if it still runs.
pub fn one(layout: &Layout, name: &str) -> Result<Option<Identity>> {
    let path = layout.run().join("alone").join(format!("{name}.json"));
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let identity: Identity = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged: remove it", path.display()))?;
    Ok(Some(identity).filter(Identity::alive))
}

/// Those that run, by name.
pub fn all(instance: &Instance) -> Result<BTreeMap<String, Identity>> {
    let mut found = BTreeMap::new();
    for name in instance.topology.processes.keys() {
        found.extend(one(&instance.layout, name)?.map(|identity| (name.clone(), identity)));
    }
    Ok(found)
}

/// Ends them, those first that nobody needs, and says what they were.
pub fn end(instance: &Instance) -> Result<Vec<String>> {
    let mut ended = Vec::new();
    for name in instance.topology.select(&[])?.into_iter().rev() {
        if let Some(identity) = one(&instance.layout, &name)? {
            let polite = polite_signal(instance.topology.kind_of(&name));
            identity.end(polite, Duration::from_secs(15))?;
            ended.push(format!("{name} (process {})", identity.pid));
        }
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::ports::Ports;

    #[test]
    fn who_runs_alone_is_known_until_it_ends() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let dev =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        let layout = Layout::at(&root, &dev);
        layout.create().unwrap();
        let instance = Instance::new(layout, Ports::Topology, &BTreeMap::new()).unwrap();
        assert!(all(&instance).unwrap().is_empty());

        note(&instance.layout, "gateway").unwrap();
        let own = Identity::own().unwrap();
        assert_eq!(one(&instance.layout, "gateway").unwrap(), Some(own));

        let mut sleep = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(sleep.id() as i32).unwrap();
        let path = instance.layout.run().join("alone/gateway.json");
        write_private(&path, &serde_json::to_vec(&identity).unwrap()).unwrap();
        assert_eq!(all(&instance).unwrap()["gateway"], identity);
        let ended = end(&instance).unwrap();
        assert_eq!(ended, [format!("gateway (process {})", sleep.id())]);
        assert!(!sleep.wait().unwrap().success());
        assert!(all(&instance).unwrap().is_empty());
        fs::remove_dir_all(&dev).unwrap();
    }
}
