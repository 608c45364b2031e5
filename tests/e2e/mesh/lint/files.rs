//! ConfigMaps, Secrets and the files that programs are told to read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::mesh::documents::{Documents, items, strings, text, title};

/// Keys of a Secret with the paths of their files.
type Keys<'v> = Vec<(&'v str, &'v str)>;

pub(super) fn check(documents: Documents<'_>, complaints: &mut Vec<String>) {
    let secrets = secrets(documents);
    for deployment in documents.of_kind("Deployment") {
        let spec = &deployment["spec"]["template"]["spec"];
        let title = title(deployment);
        let mut volumes = BTreeMap::new();
        for volume in items(spec, "/volumes") {
            let mut files = BTreeSet::new();
            for (name, keys) in sources(volume) {
                match secrets.get(name) {
                    Some(known) if keys.is_empty() => files.extend(known.iter().cloned()),
                    Some(known) => {
                        for (key, path) in keys {
                            if !known.contains(key) {
                                complaints.push(format!("{title}: Secret {name} has no {key}"));
                            }
                            files.insert(path.to_owned());
                        }
                    }
                    None => complaints.push(format!("{title}: there is no Secret {name}")),
                }
            }
            volumes.insert(text(volume, "/name"), files);
        }
        for list in ["/containers", "/initContainers"] {
            for container in items(spec, list) {
                for wrong in unreadable(documents, container, &volumes) {
                    complaints.push(format!("{title}: {wrong}"));
                }
            }
        }
    }
}

/// Keys of every Secret, also of those that operators make.
fn secrets(documents: Documents<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut secrets = BTreeMap::new();
    for document in documents.all() {
        let name = text(document, "/metadata/name");
        match text(document, "/kind") {
            "Secret" => {
                let mut keys: BTreeSet<String> = strings(&document["data"]).into_keys().collect();
                keys.extend(strings(&document["stringData"]).into_keys());
                secrets.insert(name.to_owned(), keys);
            }
            "ExternalSecret" => {
                let keys = items(document, "/spec/data").iter();
                let keys = keys.map(|one| text(one, "/secretKey").to_owned());
                secrets.insert(name.to_owned(), keys.collect());
            }
            "Cluster" => {
                secrets.insert(format!("{name}-app"), BTreeSet::from(["uri".to_owned()]));
                secrets.insert(format!("{name}-ca"), BTreeSet::from(["ca.crt".to_owned()]));
            }
            _ => {}
        }
    }
    secrets
}

/// The Secrets of a volume, each with the keys that become files and their paths; no key: all of them.
fn sources(volume: &Value) -> Vec<(&str, Keys<'_>)> {
    let mut sources = Vec::new();
    if !volume["secret"].is_null() {
        sources.push((text(volume, "/secret/secretName"), keys(&volume["secret"])));
    }
    for source in items(volume, "/projected/sources") {
        sources.push((text(source, "/secret/name"), keys(&source["secret"])));
    }
    sources
}

fn keys(secret: &Value) -> Keys<'_> {
    items(secret, "/items")
        .iter()
        .map(|item| (text(item, "/key"), text(item, "/path")))
        .collect()
}

/// What a container refers to and does not have. `volumes` has the files of each volume.
fn unreadable(
    documents: Documents<'_>,
    container: &Value,
    volumes: &BTreeMap<&str, BTreeSet<String>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut files = BTreeSet::new();
    for mount in items(container, "/volumeMounts") {
        let (name, folder) = (text(mount, "/name"), text(mount, "/mountPath"));
        match volumes.get(name) {
            Some(paths) => files.extend(paths.iter().map(|path| format!("{folder}/{path}"))),
            None => wrong.push(format!("there is no volume {name}")),
        }
    }
    let mut variables = BTreeMap::new();
    for source in items(container, "/envFrom") {
        let name = text(source, "/configMapRef/name");
        match documents.find("ConfigMap", name) {
            Some(map) => variables.extend(strings(&map["data"])),
            None => wrong.push(format!("there is no ConfigMap {name}")),
        }
    }
    for variable in items(container, "/env") {
        let (name, value) = (text(variable, "/name"), text(variable, "/value"));
        variables.insert(name.to_owned(), value.to_owned());
    }
    for (variable, path) in variables {
        let names_a_file = variable.ends_with("_FILE") || variable == "PGSSLROOTCERT";
        if names_a_file && !files.contains(&path) {
            wrong.push(format!("{variable}: there is no file {path}"));
        }
    }
    wrong
}
