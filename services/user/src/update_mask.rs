//! Update masks: which fields of a resource a call may change.

use prost_types::FieldMask;

use crate::error::{Error, Violation};

/// The fields that `mask` names, in the order of `known`, which lists every field that may be changed with its path. `*` names
/// all, and a path that leads to several names those. Refuses a mask without a path, and a path that leads nowhere or to a
/// field that callers may not set.
pub(crate) fn fields<F: Copy>(
    mask: Option<&FieldMask>,
    known: &[(&'static str, F)],
) -> Result<Vec<F>, Error> {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if paths.is_empty() {
        return Err(Error::InvalidFields(vec![Violation::new(
            FIELD,
            "names no field to change",
        )]));
    }
    let unknown: Vec<Violation> = paths
        .iter()
        .filter(|path| !known.iter().any(|(name, _)| covers(path, name)))
        .map(|path| Violation::new(FIELD, format!("`{path}` is no field that can be changed")))
        .collect();
    if !unknown.is_empty() {
        return Err(Error::InvalidFields(unknown));
    }
    let named = known
        .iter()
        .filter(|(name, _)| paths.iter().any(|path| covers(path, name)));
    Ok(named.map(|(_, field)| *field).collect())
}

const FIELD: &str = "update_mask";

fn covers(path: &str, name: &str) -> bool {
    path == "*"
        || name
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || (!path.is_empty() && rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, u8); 4] = [
        ("theme", 0),
        ("notifications.product_news", 1),
        ("notifications.weekly_summary", 2),
        ("labels", 3),
    ];

    fn select(paths: &[&str]) -> Result<Vec<u8>, Error> {
        let mask = FieldMask {
            paths: paths.iter().map(|&path| path.to_owned()).collect(),
        };
        fields(Some(&mask), &KNOWN)
    }

    #[test]
    fn a_mask_names_leaves_parents_or_everything() {
        assert_eq!(select(&["labels", "theme", "theme"]).unwrap(), [0, 3]);
        assert_eq!(select(&["notifications"]).unwrap(), [1, 2]);
        assert_eq!(select(&["notifications.product_news"]).unwrap(), [1]);
        assert_eq!(select(&["*"]).unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_mask_that_names_nothing_or_something_unknown_is_refused() {
        assert!(fields(None, &KNOWN).is_err());
        assert!(select(&[]).is_err());
        for path in [
            "",
            "etag",
            "themes",
            "them",
            "labels.colour",
            "notifications.",
            "theme.*",
        ] {
            assert!(select(&["theme", path]).is_err(), "{path}");
        }
    }
}
