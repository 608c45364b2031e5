//! Where the commands work.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use launcher::instance::Instance;
use launcher::layout::Layout;
use launcher::{Ports, records};

/// The repository that this program was built in, or, when it was moved, the one around the current folder.
pub(crate) fn root() -> Result<PathBuf> {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let here = std::env::current_dir()?;
    here.ancestors()
        .map(Path::to_owned)
        .chain([built_in])
        .find(|folder| folder.join("tilt/stack.yaml").exists())
        .context("this is no checkout of Grimoire: there is no tilt/stack.yaml here or above")?
        .canonicalize()
        .context("cannot find the checkout")
}

/// The variables of whoever calls.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The instance of `./dev up` as it runs now, with the ports it was started with; else as it would run.
pub(crate) fn instance() -> Result<Instance> {
    let layout = Layout::new(&root()?);
    let mut environment = environment();
    if let Some(running) = records::running(&layout) {
        environment.extend(running.environment);
    }
    layout.create()?;
    Instance::new(layout, Ports::Topology, &environment)
}
