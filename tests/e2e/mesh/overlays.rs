//! Builds the overlays of mesh/, once for all tests.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tests::stack::root;

use super::documents::Documents;

/// A built overlay.
pub(super) struct Overlay {
    pub(super) name: String,
    pub(super) documents: Vec<Value>,
}

impl Overlay {
    pub(super) fn documents(&self) -> Documents<'_> {
        Documents(&self.documents)
    }
}

/// Every overlay; none, with a word on why, where there is nothing to build them with.
pub(super) fn all() -> &'static [Overlay] {
    static BUILT: OnceLock<Vec<Overlay>> = OnceLock::new();
    BUILT.get_or_init(|| {
        let Some(builder) = builder() else {
            eprintln!(
                "mesh/ was not checked, for there is neither kubectl nor kustomize: \
                 go install sigs.k8s.io/kustomize/kustomize/v5@latest"
            );
            return Vec::new();
        };
        let folder = root().join("mesh/overlays");
        names()
            .into_iter()
            .map(|name| Overlay {
                documents: build(builder, &folder.join(&name)),
                name,
            })
            .collect()
    })
}

/// The overlay of that name; none where overlays cannot be built.
pub(super) fn named(name: &str) -> Option<&'static Overlay> {
    let all = all();
    let found = all.iter().find(|overlay| overlay.name == name);
    assert!(all.is_empty() || found.is_some(), "no overlay {name}");
    found
}

/// The documents of a stream of YAML.
pub(super) fn parse(text: &str) -> Vec<Value> {
    let is_empty = |line: &str| line.is_empty() || line.starts_with('#') || line == "---";
    text.split("\n---\n")
        .filter(|document| !document.lines().all(is_empty))
        .map(|document| serde_norway::from_str(document).expect("YAML"))
        .collect()
}

/// The program that is on the PATH.
pub(super) fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A program and what it is told before the folder.
fn builder() -> Option<(&'static str, &'static str)> {
    [("kubectl", "kustomize"), ("kustomize", "build")]
        .into_iter()
        .find(|(program, _)| on_path(program))
}

fn names() -> Vec<String> {
    let folder = root().join("mesh/overlays");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("mesh/overlays")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

fn build((program, verb): (&str, &str), folder: &Path) -> Vec<Value> {
    let output = Command::new(program)
        .arg(verb)
        .arg(folder)
        .output()
        .expect("it is on the PATH");
    assert!(
        output.status.success(),
        "{}: {}",
        folder.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    parse(&String::from_utf8_lossy(&output.stdout))
}

#[test]
fn there_is_an_overlay_for_each_kind_of_cluster_and_each_builds() {
    assert_eq!(names(), ["kind", "production", "staging"]);
    for overlay in all() {
        assert!(!overlay.documents.is_empty(), "{}", overlay.name);
    }
}
