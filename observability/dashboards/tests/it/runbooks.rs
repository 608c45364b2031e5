//! Panels and alerts lead to runbooks, and runbooks to what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use dashboards::{Rule, Severity, dashboards, room, rule_files};
use serde_json::Value;

use crate::metrics::unknown;

/// Every alert with what it asks for.
fn alerts() -> BTreeMap<&'static str, Severity> {
    let rules = rule_files().into_iter().flat_map(|file| file.rules);
    rules
        .filter_map(|rule| match rule {
            Rule::Alert { name, severity, .. } => Some((name, severity)),
            Rule::Record { .. } => None,
        })
        .collect()
}

/// Every runbook, by its name.
fn runbooks() -> BTreeMap<String, String> {
    fs::read_dir(room().join("runbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().display().to_string();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn a_panel_says_what_bad_looks_like_and_leads_to_a_runbook_that_is_there() {
    let runbooks = runbooks();
    for board in dashboards() {
        for panel in board.panels() {
            let place = format!("{}: {}", board.title, panel.title);
            assert!(!panel.targets.is_empty(), "{place} shows nothing");
            assert!(panel.bad.ends_with('.'), "{place}: {}", panel.bad);
            assert!(
                runbooks.contains_key(panel.runbook),
                "{place}: there is no runbook {}",
                panel.runbook
            );
            let link = format!("runbooks/{}.md)", panel.runbook);
            assert!(panel.description().contains(&link), "{place}");
        }
    }
}

#[test]
fn an_alert_has_a_runbook_that_the_list_of_runbooks_names() {
    let runbooks = runbooks();
    let names: BTreeSet<&str> = runbooks.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = alerts().into_keys().chain(["README"]).collect();
    assert_eq!(names, expected);
    for (name, severity) in alerts() {
        let severity = format!("{severity:?}").to_lowercase();
        let line = format!("| [{name}]({name}.md) | {severity} | ");
        assert!(
            runbooks["README"].contains(&line),
            "observability/runbooks/README.md has no line `{line}`"
        );
    }
}

#[test]
fn a_runbook_says_what_it_means_how_to_look_and_what_to_do() {
    for (name, text) in runbooks().iter().filter(|(name, _)| *name != "README") {
        assert!(text.starts_with(&format!("# {name}\n")), "{name}");
        for heading in ["\n## Check\n", "\n## Do\n"] {
            assert!(text.contains(heading), "{name} has no `{}`", heading.trim());
        }
    }
}

#[test]
fn a_query_of_a_runbook_names_metrics_that_there_are() {
    for (name, text) in runbooks() {
        for block in text.split("```promql\n").skip(1) {
            let (query, _) = block.split_once("```").unwrap();
            let unknown = unknown(query);
            assert!(unknown.is_empty(), "{name}: {unknown:?} in\n{query}");
        }
    }
}

#[test]
fn an_alert_has_a_test_where_it_fires_and_one_where_it_stays_silent() {
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in rule_files() {
        let path = room().join(format!("prometheus/tests/{}.yaml", file.name));
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let tests: Value = serde_norway::from_str(&text).unwrap();
        for test in tests["tests"].as_array().unwrap() {
            for case in test["alert_rule_test"].as_array().unwrap() {
                let name = case["alertname"].as_str().unwrap().to_owned();
                let expected = case["exp_alerts"].as_array().unwrap();
                if expected.is_empty() {
                    silent.insert(name);
                } else {
                    fires.insert(name);
                }
            }
        }
    }
    let alerts: BTreeSet<String> = alerts().into_keys().map(str::to_owned).collect();
    assert_eq!(fires, alerts, "a test where it fires");
    assert_eq!(silent, alerts, "a test where it stays silent");
}
