//! Resources of Kubernetes itself, by kubernetes-validate: strictly, for the oldest release that mesh/ is for and for the newest that it knows.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::stack::root;

use super::documents::{Documents, text};
use super::overlays::{self, Overlay, on_path};

const VERSIONS: [&str; 2] = ["1.31", "1.37"];
const OURS: [&str; 5] = [
    "v1",
    "apps/v1",
    "autoscaling/v2",
    "networking.k8s.io/v1",
    "policy/v1",
];

#[test]
fn resources_fit_the_schemas_of_kubernetes() {
    for overlay in overlays::all() {
        let documents = of_kubernetes(overlay.documents());
        if let Some(wrong) = refused(&overlay.name, &documents) {
            panic!("{}: {wrong}", overlay.name);
        }
    }
}

#[test]
fn a_field_that_kubernetes_does_not_know_is_found() {
    let Some(Overlay { documents, .. }) = overlays::named("kind") else {
        return;
    };
    let mut documents = of_kubernetes(Documents(documents));
    documents[0]["metadata"]["colour"] = "red".into();
    if program().is_some() {
        let wrong = refused("mistake", &documents).expect("a refusal");
        assert!(wrong.contains("colour"), "{wrong}");
    }
}

fn of_kubernetes(documents: Documents<'_>) -> Vec<Value> {
    let ours = documents
        .all()
        .filter(|document| OURS.contains(&text(document, "/apiVersion")));
    ours.cloned().collect()
}

/// What the validator says; none where it takes all, or is not there.
fn refused(name: &str, documents: &[Value]) -> Option<String> {
    let Some(program) = program() else {
        eprintln!(
            "resources of Kubernetes were not validated, for there is no kubernetes-validate: ./dev test installs it where python3 has pip, \
             or pip install kubernetes-validate"
        );
        return None;
    };
    let folder = root().join(".dev/test");
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join(format!("mesh-{}-{name}.yaml", std::process::id()));
    // JSON is YAML.
    let text: String = documents
        .iter()
        .map(|document| format!("---\n{document}\n"))
        .collect();
    fs::write(&file, text).expect("a file");
    let said = VERSIONS.iter().find_map(|version| {
        let output = Command::new(&program)
            .args(["--strict", "--quiet", "-k"])
            .arg(version)
            .arg(&file)
            // Where pip was told to put it, Python has to be told, too.
            .env("PYTHONPATH", tools())
            .output()
            .expect("it is there");
        (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    fs::remove_file(file).expect("the file is ours");
    said
}

fn tools() -> PathBuf {
    root().join(".dev/tools/python")
}

/// Where `./dev test` puts it, or on the PATH.
fn program() -> Option<PathBuf> {
    let installed = tools().join("bin/kubernetes-validate");
    if installed.is_file() {
        return Some(installed);
    }
    on_path("kubernetes-validate").then(|| PathBuf::from("kubernetes-validate"))
}
