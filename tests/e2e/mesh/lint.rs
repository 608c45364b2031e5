//! What no schema catches: values that Linkerd ignores or refuses only in a cluster, names that lead nowhere, pods that are not hardened.

mod files;
mod names;
mod networks;
mod pods;
mod policies;
mod routes;
mod services;
mod versions;

use super::documents::Documents;

const CHECKS: [fn(Documents<'_>, &mut Vec<String>); 8] = [
    versions::check,
    services::check,
    policies::check,
    networks::check,
    routes::check,
    names::check,
    files::check,
    pods::check,
];

/// Every mistake, as a sentence that begins with the document.
pub(super) fn complaints(documents: Documents<'_>) -> Vec<String> {
    let mut complaints = Vec::new();
    for check in CHECKS {
        check(documents, &mut complaints);
    }
    complaints
}
