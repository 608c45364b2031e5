//! Links between documents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tests::stack::root;

use super::documents;

#[test]
fn every_link_leads_to_a_file_or_a_heading_that_is_there() {
    let documents = documents();
    let headings: BTreeMap<PathBuf, Vec<String>> = documents
        .iter()
        .map(|document| (PathBuf::from(&document.path), headings_of(&document.text)))
        .collect();
    let mut broken = Vec::new();
    for document in &documents {
        let folder = Path::new(&document.path).parent().expect("a folder");
        for target in links_of(&document.text) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = match target.split_once('#') {
                Some((file, heading)) => (file, Some(heading)),
                None => (target.as_str(), None),
            };
            let path = if file.is_empty() {
                PathBuf::from(&document.path)
            } else {
                normal(&folder.join(file))
            };
            let there = match heading {
                None => root().join(&path).exists(),
                Some(heading) => headings
                    .get(&path)
                    .is_some_and(|headings| headings.iter().any(|known| known == heading)),
            };
            if !there {
                broken.push(format!("{}: {target}", document.path));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere: {broken:#?}");
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = Vec::new();
    for part in path.iter().filter(|part| *part != ".") {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.into_iter().collect()
}

/// Lines outside of fenced blocks, without what stands between backticks.
fn prose(text: &str) -> impl Iterator<Item = String> {
    let mut fenced = false;
    text.lines().filter_map(move |line| {
        if line.starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then(|| line.split('`').step_by(2).collect())
    })
}

fn links_of(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        for rest in line.split("](").skip(1) {
            if let Some((target, _)) = rest.split_once(')') {
                links.push(target.to_owned());
            }
        }
    }
    links
}

/// The names by which links lead to headings: small letters, hyphens for spaces, no punctuation.
fn headings_of(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut headings = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let heading = line.trim_start_matches('#');
        if !fenced && line.starts_with('#') && heading.starts_with(' ') {
            let name = heading.trim().to_lowercase();
            let kept = name
                .chars()
                .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
            headings.push(
                kept.map(|letter| if letter == ' ' { '-' } else { letter })
                    .collect(),
            );
        }
    }
    headings
}

#[test]
fn headings_and_links_are_found_outside_of_blocks() {
    let text = "# A `dev` thing, really\n[one](b.md#x) and `[no](no.md)` and [two](#c)\n```sh\n# no\n[no](no.md)\n```\n";
    assert_eq!(headings_of(text), ["a-dev-thing-really"]);
    assert_eq!(links_of(text), ["b.md#x", "#c"]);
    assert_eq!(
        normal(Path::new("docs/../tilt/./stack.yaml")),
        Path::new("tilt/stack.yaml")
    );
}
