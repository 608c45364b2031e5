//! mesh/: each overlay builds, is what Kubernetes and Linkerd take, gives programs what they read, and lets those call whom the topology and
//! the contracts allow, and nobody else.

mod documents;
mod edges;
mod environment;
mod lint;
mod mistakes;
mod overlays;
mod routes;
mod schemas;
mod validator;

use documents::Documents;

/// Everything that is wrong with an overlay.
fn complaints(documents: Documents<'_>) -> Vec<String> {
    let mut complaints = lint::complaints(documents);
    complaints.extend(edges::complaints(documents));
    complaints
}

#[test]
fn every_overlay_is_free_of_what_installations_break_by() {
    for overlay in overlays::all() {
        let found = complaints(overlay.documents());
        assert_eq!(found, [""; 0], "{}", overlay.name);
    }
}
