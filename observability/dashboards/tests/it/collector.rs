//! Pipelines of the collector are made of what its configuration defines. Where there is a collector, an end-to-end test asks its own `validate`.

use std::fs;

use dashboards::room;
use serde_json::Value;

fn read(name: &str) -> Value {
    let text = fs::read_to_string(room().join("collector").join(name)).unwrap();
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_pipeline_is_made_of_what_is_defined() {
    for main in ["development.yaml", "production.yaml"] {
        for logs in ["logs-elasticsearch.yaml", "logs-loki.yaml"] {
            let files = [read(main), read(logs)];
            let defined =
                |kind: &str, name: &str| files.iter().any(|file| file[kind].get(name).is_some());
            for (pipeline, parts) in files
                .iter()
                .flat_map(|file| file["service"]["pipelines"].as_object().unwrap())
            {
                for (kind, names) in parts.as_object().unwrap() {
                    for name in names.as_array().unwrap() {
                        let name = name.as_str().unwrap();
                        // A connector ends one pipeline and begins another.
                        assert!(
                            defined(kind, name)
                                || (kind != "processors" && defined("connectors", name)),
                            "{main} with {logs}: {pipeline} has {name} among its {kind}, which nothing defines"
                        );
                    }
                }
            }
        }
    }
}
