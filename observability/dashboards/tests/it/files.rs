//! What is checked in is what the source makes.

use std::collections::BTreeSet;
use std::fs;

use dashboards::{files, room};

#[test]
fn what_is_checked_in_is_what_the_source_makes() {
    for (path, text) in files() {
        let checked_in = fs::read_to_string(room().join(&path)).unwrap_or_default();
        assert!(
            checked_in == text,
            "observability/{path} is not what the source makes: renew it by ./dev prepare"
        );
    }
}

#[test]
fn nothing_else_lies_beside_what_is_made() {
    let made: BTreeSet<String> = files().into_iter().map(|(path, _)| path).collect();
    for folder in ["grafana/dashboards", "prometheus/rules"] {
        for entry in fs::read_dir(room().join(folder)).unwrap() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().display());
            assert!(made.contains(&path), "nothing makes observability/{path}");
        }
    }
}
