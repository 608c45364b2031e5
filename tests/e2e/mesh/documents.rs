//! Manifests, and the pods that come of them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The documents of one overlay.
#[derive(Clone, Copy)]
pub(super) struct Documents<'a>(pub(super) &'a [Value]);

/// The pods of one document: a Deployment, or what an operator makes pods of.
pub(super) struct Pods {
    /// Kind and name of the document.
    pub(super) title: String,
    /// The process of the topology that runs in them. A database has the name of its document.
    pub(super) process: String,
    /// Their service account.
    pub(super) account: String,
    pub(super) namespace: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Names, which may be empty, and numbers of their ports.
    pub(super) ports: Vec<(String, u64)>,
}

impl<'a> Documents<'a> {
    pub(super) fn all(self) -> impl Iterator<Item = &'a Value> {
        self.0.iter()
    }

    pub(super) fn of_kind(self, kind: &'static str) -> impl Iterator<Item = &'a Value> {
        self.all()
            .filter(move |document| text(document, "/kind") == kind)
    }

    pub(super) fn find(self, kind: &str, name: &str) -> Option<&'a Value> {
        self.all().find(|document| {
            text(document, "/kind") == kind && text(document, "/metadata/name") == name
        })
    }

    /// All pods. Those of operators have the labels and ports that CloudNativePG and Strimzi give them.
    pub(super) fn pods(self) -> Vec<Pods> {
        self.all()
            .filter_map(|document| match text(document, "/kind") {
                "Deployment" => Some(Pods::of_deployment(document)),
                "Cluster" => Some(Pods::of_cluster(document)),
                "Kafka" => Some(Pods::of_kafka(document)),
                _ => None,
            })
            .collect()
    }
}

impl Pods {
    fn of_deployment(document: &Value) -> Self {
        let template = &document["spec"]["template"];
        let labels = strings(&template["metadata"]["labels"]);
        let ports = items(template, "/spec/containers")
            .iter()
            .flat_map(|container| items(container, "/ports"))
            .map(|port| {
                (
                    text(port, "/name").to_owned(),
                    number(port, "/containerPort"),
                )
            })
            .collect();
        Self {
            title: title(document),
            process: labels
                .get("app.kubernetes.io/name")
                .cloned()
                .unwrap_or_default(),
            account: text(template, "/spec/serviceAccountName").to_owned(),
            namespace: text(document, "/metadata/namespace").to_owned(),
            labels,
            ports,
        }
    }

    fn of_cluster(document: &Value) -> Self {
        let name = text(document, "/metadata/name").to_owned();
        Self {
            title: title(document),
            process: name.clone(),
            account: name.clone(),
            namespace: text(document, "/metadata/namespace").to_owned(),
            labels: BTreeMap::from([("cnpg.io/cluster".to_owned(), name)]),
            ports: vec![("postgresql".to_owned(), 5432)],
        }
    }

    fn of_kafka(document: &Value) -> Self {
        let name = text(document, "/metadata/name").to_owned();
        let ports = items(document, "/spec/kafka/listeners")
            .iter()
            .map(|listener| {
                (
                    text(listener, "/name").to_owned(),
                    number(listener, "/port"),
                )
            })
            .collect();
        Self {
            title: title(document),
            process: "kafka".to_owned(),
            account: format!("{name}-kafka"),
            namespace: text(document, "/metadata/namespace").to_owned(),
            labels: BTreeMap::from([
                ("strimzi.io/cluster".to_owned(), name),
                ("strimzi.io/broker-role".to_owned(), "true".to_owned()),
            ]),
            ports,
        }
    }

    /// Who they are in the mesh.
    pub(super) fn identity(&self) -> String {
        format!(
            "{}.{}.serviceaccount.identity.linkerd.cluster.local",
            self.account, self.namespace
        )
    }

    /// The number of the port that a manifest names, or gives.
    pub(super) fn port(&self, wanted: &Value) -> Option<u64> {
        self.ports
            .iter()
            .find(|(name, port)| {
                wanted.as_str() == Some(name.as_str()) || wanted.as_u64() == Some(*port)
            })
            .map(|(_, port)| *port)
    }
}

/// Kind and name.
pub(super) fn title(document: &Value) -> String {
    format!(
        "{}/{}",
        text(document, "/kind"),
        text(document, "/metadata/name")
    )
}

/// The text at a JSON pointer; empty where there is none.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The list at a JSON pointer; empty where there is none.
pub(super) fn items<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The number at a JSON pointer; 0 where there is none.
pub(super) fn number(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// A map of texts, such as labels; empty where it is none.
pub(super) fn strings(value: &Value) -> BTreeMap<String, String> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether `labels` has all that are `wanted`.
pub(super) fn has_all(labels: &BTreeMap<String, String>, wanted: &Value) -> bool {
    strings(wanted)
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// Whether a label selector selects what has these labels.
pub(super) fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let mut expressions = items(selector, "/matchExpressions").iter();
    has_all(labels, &selector["matchLabels"])
        && expressions.all(|expression| {
            let value = labels.get(text(expression, "/key"));
            match text(expression, "/operator") {
                "Exists" => value.is_some(),
                "In" => items(expression, "/values")
                    .iter()
                    .any(|one| one.as_str() == value.map(String::as_str)),
                operator => panic!("these tests do not know the operator `{operator}`"),
            }
        })
}
