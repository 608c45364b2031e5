//! Mistakes that break installations, planted one by one: each is found, and nothing else is.

mod of_edges;
mod of_pods;
mod of_policies;
mod of_protocols;

use serde_json::Value;

use super::documents::{Documents, title};
use super::{complaints, overlays};

/// What is planted, how, and everything that has to be said about it.
struct Mistake {
    what: &'static str,
    plant: fn(&mut Vec<Value>),
    found: &'static [&'static str],
}

#[test]
fn each_planted_mistake_is_found() {
    let Some(overlay) = overlays::named("production") else {
        return;
    };
    let all = [
        of_protocols::ALL,
        of_policies::ALL,
        of_pods::ALL,
        of_edges::ALL,
    ];
    for mistake in all.into_iter().flatten() {
        let mut documents = overlay.documents.clone();
        (mistake.plant)(&mut documents);
        assert!(documents != overlay.documents, "{}", mistake.what);
        let found = complaints(Documents(&documents));
        assert_eq!(found, mistake.found, "{}", mistake.what);
    }
}

/// The value at a JSON pointer of a document.
fn at<'d>(documents: &'d mut [Value], name: &str, pointer: &str) -> &'d mut Value {
    documents
        .iter_mut()
        .find(|document| title(document) == name)
        .and_then(|document| document.pointer_mut(pointer))
        .unwrap_or_else(|| panic!("{name} has no {pointer}"))
}

/// Adds an entry to the list at a JSON pointer of a document.
fn add(documents: &mut [Value], name: &str, pointer: &str, entry: Value) {
    let list = at(documents, name, pointer).as_array_mut();
    list.expect("a list").push(entry);
}

fn remove(documents: &mut Vec<Value>, name: &str) {
    documents.retain(|document| title(document) != name);
}
