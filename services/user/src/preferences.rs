//! Preferences: the rules of their fields.

use chassis::wire::timestamp;
use grimoire_proto::user::v1::{Notifications, Preferences, Theme};

use crate::error::Violation;
use crate::profile::is_text;
use crate::store::preferences::PreferencesRow;
use crate::wire;

/// A field that its owner may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Theme,
    ProductNews,
    WeeklySummary,
    Labels,
}

/// Every field that can be changed, with its path in an update mask.
pub(crate) const FIELDS: [(&str, Field); 4] = [
    ("theme", Field::Theme),
    ("notifications.product_news", Field::ProductNews),
    ("notifications.weekly_summary", Field::WeeklySummary),
    ("labels", Field::Labels),
];

/// What is wrong with the values that `preferences` have in `fields`.
pub(crate) fn violations(preferences: &Preferences, fields: &[Field]) -> Vec<Violation> {
    let mut violations = Vec::new();
    if fields.contains(&Field::Theme) && Theme::try_from(preferences.theme).is_err() {
        violations.push(Violation::new("preferences.theme", "is no theme"));
    }
    if fields.contains(&Field::Labels) {
        if preferences.labels.len() > LABELS {
            violations.push(Violation::new(
                "preferences.labels",
                "has more than 64 entries",
            ));
        }
        if !preferences.labels.keys().all(|key| is_label_key(key)) {
            violations.push(Violation::new(
                "preferences.labels",
                "has a key that is not 1 to 63 characters of a-z, 0-9, `.`, `_` and `-`",
            ));
        }
        if !preferences
            .labels
            .values()
            .all(|value| is_text(value, LABEL_VALUE))
        {
            violations.push(Violation::new(
                "preferences.labels",
                "has a value of more than 256 characters, or with control characters",
            ));
        }
    }
    violations
}

/// Gives `row` the values that `preferences` have in `fields`; returns the paths of those that differed.
pub(crate) fn apply(
    row: &mut PreferencesRow,
    mut preferences: Preferences,
    fields: &[Field],
) -> Vec<String> {
    let notifications = preferences.notifications.unwrap_or_default();
    let mut changed = Vec::new();
    for (path, field) in FIELDS {
        let differed = fields.contains(&field)
            && match field {
                Field::Theme => set(&mut row.theme, preferences.theme),
                Field::ProductNews => set(&mut row.product_news, notifications.product_news),
                Field::WeeklySummary => set(&mut row.weekly_summary, notifications.weekly_summary),
                Field::Labels => set(&mut row.labels.0, std::mem::take(&mut preferences.labels)),
            };
        if differed {
            changed.push(path.to_owned());
        }
    }
    changed
}

/// The etag of preferences.
pub(crate) fn etag(row: &PreferencesRow) -> String {
    wire::etag(row.version)
}

/// Preferences as callers see them.
pub(crate) fn message(row: PreferencesRow) -> Preferences {
    Preferences {
        etag: etag(&row),
        theme: row.theme,
        notifications: Some(Notifications {
            product_news: row.product_news,
            weekly_summary: row.weekly_summary,
        }),
        labels: row.labels.0,
        update_time: row.update_time.map(timestamp),
    }
}

const LABELS: usize = 64;
const LABEL_KEY: usize = 63;
const LABEL_VALUE: usize = 256;

fn is_label_key(key: &str) -> bool {
    (1..=LABEL_KEY).contains(&key.len())
        && key.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
        })
}

fn set<T: PartialEq>(old: &mut T, new: T) -> bool {
    let differs = *old != new;
    if differs {
        *old = new;
    }
    differs
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sqlx::types::Json;

    use super::*;

    const ALL: [Field; 4] = [
        Field::Theme,
        Field::ProductNews,
        Field::WeeklySummary,
        Field::Labels,
    ];

    fn labelled(labels: impl IntoIterator<Item = (String, String)>) -> Preferences {
        Preferences {
            labels: labels.into_iter().collect(),
            ..Preferences::default()
        }
    }

    #[test]
    fn labels_are_bounded_in_number_and_length() {
        let full = labelled((0..64).map(|n| (format!("{n:a>63}"), "ü".repeat(256))));
        assert!(violations(&full, &ALL).is_empty());
        let too_many = labelled((0..65).map(|n| (n.to_string(), String::new())));
        assert_eq!(violations(&too_many, &ALL).len(), 1);
        for key in ["", "Colour", "a b", "ü", &"a".repeat(64)] {
            assert_eq!(
                violations(&labelled([(key.to_owned(), String::new())]), &ALL).len(),
                1,
                "{key}"
            );
        }
        for value in ["v".repeat(257), "a\0b".into()] {
            assert_eq!(
                violations(&labelled([("key".to_owned(), value)]), &ALL).len(),
                1
            );
        }
    }

    #[test]
    fn a_theme_is_one_of_the_enumeration() {
        let preferences = Preferences {
            theme: 9,
            ..Preferences::default()
        };
        assert_eq!(violations(&preferences, &ALL)[0].field, "preferences.theme");
        assert!(violations(&preferences, &[Field::Labels]).is_empty());
    }

    #[test]
    fn only_named_fields_change_and_only_differences_are_told() {
        let mut row = PreferencesRow {
            weekly_summary: true,
            ..PreferencesRow::default()
        };
        let wanted = Preferences {
            theme: Theme::Dark.into(),
            notifications: Some(Notifications {
                product_news: true,
                weekly_summary: true,
            }),
            ..labelled([("editor".into(), "vi".into())])
        };
        assert_eq!(
            apply(
                &mut row,
                wanted.clone(),
                &[Field::Theme, Field::WeeklySummary]
            ),
            ["theme"]
        );
        assert_eq!(
            apply(&mut row, wanted.clone(), &ALL),
            ["notifications.product_news", "labels"]
        );
        assert!(apply(&mut row, wanted, &ALL).is_empty());
    }

    #[test]
    fn a_named_field_without_a_value_is_cleared() {
        let labels = Json(HashMap::from([("editor".to_owned(), "vi".to_owned())]));
        let mut row = PreferencesRow {
            product_news: true,
            labels,
            ..PreferencesRow::default()
        };
        assert_eq!(
            apply(&mut row, Preferences::default(), &ALL),
            ["notifications.product_news", "labels"]
        );
        assert_eq!(row, PreferencesRow::default());
    }
}
