//! Files of compose, as compose reads them beside a copy of .env.example.

use std::collections::BTreeMap;

use serde_json::Value;

use super::text;
use crate::configuration::example;

pub(super) const MAIN: &str = "docker-compose.yml";
pub(super) const TEST: &str = "docker-compose.test.yml";

/// A file, with references to variables as they are written.
pub(super) struct File(pub(super) Value);

/// A service of a file.
#[derive(Clone, Copy)]
pub(super) struct Service<'f>(&'f Value);

/// A reference to a variable: `${NAME-DEFAULT}`, `${NAME:-DEFAULT}` or `${NAME}`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    pub(super) name: &'t str,
    pub(super) default: Option<&'t str>,
}

impl File {
    pub(super) fn read(name: &str) -> Self {
        let mut file: serde_norway::Value =
            serde_norway::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        // An anchor may be made of another one, which the first round leaves.
        for _ in 0..2 {
            file.apply_merge().expect("maps are merged");
        }
        Self(serde_norway::from_value(file).expect("JSON can say it"))
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (&str, Service<'_>)> {
        let services = self.0["services"].as_object().expect("services");
        services
            .iter()
            .map(|(name, service)| (name.as_str(), Service(service)))
    }

    pub(super) fn service(&self, name: &str) -> Service<'_> {
        let service = &self.0["services"][name];
        assert!(service.is_object(), "there is no service {name}");
        Service(service)
    }

    /// Named volumes that it declares.
    pub(super) fn volumes(&self) -> impl Iterator<Item = &str> {
        let volumes = self.0["volumes"].as_object().into_iter().flatten();
        volumes.map(|(name, _)| name.as_str())
    }
}

impl<'f> Service<'f> {
    pub(super) fn image(self) -> &'f str {
        self.0["image"].as_str().unwrap_or_default()
    }

    /// The target of the Dockerfile that it is built from.
    pub(super) fn target(self) -> Option<&'f str> {
        self.0["build"]["target"].as_str()
    }

    /// What its program is told to do.
    pub(super) fn task(self) -> &'f str {
        self.0["command"][0].as_str().unwrap_or("serve")
    }

    /// Its variables as they are written.
    pub(super) fn written(self) -> BTreeMap<&'f str, &'f str> {
        let variables = self.0["environment"].as_object().into_iter().flatten();
        variables
            .map(|(name, value)| {
                let value = value.as_str().unwrap_or_else(|| {
                    panic!("{name} is no text: compose takes true and 1 for something else")
                });
                (name.as_str(), value)
            })
            .collect()
    }

    /// Its variables, as its program gets them.
    pub(super) fn environment(self) -> BTreeMap<String, String> {
        let written = self.written().into_iter();
        written
            .map(|(name, value)| (name.to_owned(), filled(value)))
            .collect()
    }

    /// What is published: address, port there, port in the container.
    pub(super) fn ports(self) -> Vec<String> {
        texts(&self.0["ports"]).map(filled).collect()
    }

    /// What it mounts: a volume or a path, and where.
    pub(super) fn mounts(self) -> Vec<(&'f str, &'f str)> {
        texts(&self.0["volumes"])
            .map(|mount| {
                let mut parts = mount.split(':');
                let source = parts.next().expect("a source");
                (source, parts.next().expect("a target"))
            })
            .collect()
    }

    /// What must have happened to others before it starts.
    pub(super) fn waits_for(self) -> BTreeMap<String, String> {
        let others = self.0["depends_on"].as_object().into_iter().flatten();
        others
            .map(|(name, other)| {
                let condition = other["condition"].as_str().expect("a condition");
                (name.clone(), condition.to_owned())
            })
            .collect()
    }
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().expect("a text"))
}

/// The references in a text.
pub(super) fn references(text: &str) -> Vec<Reference<'_>> {
    let mut references = Vec::new();
    let mut rest = text;
    while let Some((_, reference, behind)) = next(rest) {
        references.push(reference);
        rest = behind;
    }
    references
}

/// The text with the values of a copy of .env.example.
pub(super) fn filled(text: &str) -> String {
    let set: BTreeMap<String, String> = example()
        .into_iter()
        .filter(|line| line.active)
        .map(|line| (line.name, line.value))
        .collect();
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, reference, behind)) = next(rest) {
        let Reference { name, default } = reference;
        let value = set.get(name).map(String::as_str).or(default);
        filled.push_str(before);
        filled.push_str(value.unwrap_or_else(|| panic!("{text}: nothing sets {name}")));
        rest = behind;
    }
    filled + rest
}

/// The next reference of a text, with what stands before and behind it.
fn next(text: &str) -> Option<(&str, Reference<'_>, &str)> {
    let (before, rest) = text.split_once('$')?;
    let (inside, behind) = rest
        .strip_prefix('{')
        .and_then(|rest| rest.split_once('}'))
        .unwrap_or_else(|| panic!("{text}: a variable stands in braces"));
    let (name, rest) = inside.split_at(inside.find([':', '-']).unwrap_or(inside.len()));
    let default = rest.strip_prefix(':').unwrap_or(rest).strip_prefix('-');
    Some((before, Reference { name, default }, behind))
}

#[test]
fn a_reference_is_filled_from_the_example_else_by_its_default() {
    assert_eq!(
        references("a ${A} ${B-} ${C:-http://d:1}"),
        [("A", None), ("B", Some("")), ("C", Some("http://d:1"))]
            .map(|(name, default)| Reference { name, default })
    );
    assert_eq!(
        filled("${GRIMOIRE_LOG-debug}, ${NOBODY:-a-b:1}/${NOBODY-}x"),
        "info, a-b:1/x"
    );
}
