//! Profiles: the rules of their fields.

use chassis::wire::timestamp;
use grimoire_proto::user::v1::Profile;

use crate::error::Violation;
use crate::store::profiles::ProfileRow;
use crate::time_zones::TimeZones;
use crate::wire;

/// A field that its owner may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    DisplayName,
    Bio,
    AvatarUri,
    Locale,
    TimeZone,
}

/// Every field that can be changed, with its path in an update mask.
pub(crate) const FIELDS: [(&str, Field); 5] = [
    ("display_name", Field::DisplayName),
    ("bio", Field::Bio),
    ("avatar_uri", Field::AvatarUri),
    ("locale", Field::Locale),
    ("time_zone", Field::TimeZone),
];

/// What is wrong with the values that `profile` has in `fields`. Each may be empty.
pub(crate) fn violations(
    profile: &Profile,
    fields: &[Field],
    time_zones: &TimeZones,
) -> Vec<Violation> {
    let check = |field: &Field| match field {
        Field::DisplayName => {
            let wrong = !is_line(&profile.display_name, DISPLAY_NAME);
            wrong.then(|| {
                Violation::new(
                    "profile.display_name",
                    "is longer than 100 characters, or holds control characters",
                )
            })
        }
        Field::Bio => {
            let wrong = !is_text(&profile.bio, BIO);
            wrong.then(|| {
                Violation::new(
                    "profile.bio",
                    "is longer than 2,000 characters, or holds control characters",
                )
            })
        }
        Field::AvatarUri => {
            let wrong = !profile.avatar_uri.is_empty() && !is_https_uri(&profile.avatar_uri);
            wrong.then(|| {
                Violation::new(
                    "profile.avatar_uri",
                    "is not an https URI of at most 2,048 characters",
                )
            })
        }
        Field::Locale => {
            let wrong = !profile.locale.is_empty() && !is_language_tag(&profile.locale);
            wrong.then(|| {
                Violation::new(
                    "profile.locale",
                    "is not a BCP 47 language tag, such as `en` or `de-AT`",
                )
            })
        }
        Field::TimeZone => {
            let wrong = !profile.time_zone.is_empty() && !time_zones.has(&profile.time_zone);
            wrong.then(|| {
                Violation::new(
                    "profile.time_zone",
                    "is not an IANA time zone, such as `Europe/Vienna`",
                )
            })
        }
    };
    fields.iter().filter_map(check).collect()
}

/// Gives `row` the values that `profile` has in `fields`; returns the paths of those that differed.
pub(crate) fn apply(row: &mut ProfileRow, profile: Profile, fields: &[Field]) -> Vec<String> {
    // In the order of FIELDS.
    let values = [
        (&mut row.display_name, profile.display_name),
        (&mut row.bio, profile.bio),
        (&mut row.avatar_uri, profile.avatar_uri),
        (&mut row.locale, profile.locale),
        (&mut row.time_zone, profile.time_zone),
    ];
    let mut changed = Vec::new();
    for ((path, field), (old, new)) in FIELDS.into_iter().zip(values) {
        if fields.contains(&field) && *old != new {
            *old = new;
            changed.push(path.to_owned());
        }
    }
    changed
}

/// The etag of a profile.
pub(crate) fn etag(row: &ProfileRow) -> String {
    wire::etag(row.version)
}

/// A profile as callers see it.
pub(crate) fn message(row: ProfileRow) -> Profile {
    Profile {
        etag: etag(&row),
        id: row.id.to_string(),
        display_name: row.display_name,
        bio: row.bio,
        avatar_uri: row.avatar_uri,
        locale: row.locale,
        time_zone: row.time_zone,
        create_time: Some(timestamp(row.create_time)),
        update_time: Some(timestamp(row.update_time)),
    }
}

/// The display name of a new profile: what was given at registration, as far as a profile may hold it.
pub(crate) fn first_display_name(registered: &str) -> String {
    registered
        .chars()
        .filter(|character| !character.is_control())
        .take(DISPLAY_NAME)
        .collect()
}

/// The locale of a new profile: what was given at registration, where that is a language tag.
pub(crate) fn first_locale(registered: String) -> String {
    if is_language_tag(&registered) {
        registered
    } else {
        String::new()
    }
}

/// Whether `text` has at most `most` characters and none that would break a database or a terminal; line breaks and tabs pass.
pub(crate) fn is_text(text: &str, most: usize) -> bool {
    text.chars().count() <= most
        && !text.contains(|character: char| character.is_control() && !"\n\r\t".contains(character))
}

/// The same without line breaks and tabs.
pub(crate) fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.contains(char::is_control)
}

/// Characters of a display name.
pub(crate) const DISPLAY_NAME: usize = 100;
const BIO: usize = 2_000;
const AVATAR_URI: usize = 2_048;
/// What RFC 5646, section 4.4.1, says to make room for.
const LANGUAGE_TAG: usize = 35;

fn is_https_uri(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    // A name and password in a URI that others load would be sent along.
    let plain_host = uri
        .authority()
        .is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    text.len() <= AVATAR_URI && uri.scheme_str() == Some("https") && plain_host
}

/// The shape of RFC 5646: a language of two to eight letters, then subtags of up to eight letters and digits. Whether the
/// subtags are registered is not asked: the registry grows.
fn is_language_tag(text: &str) -> bool {
    let mut subtags = text.split('-');
    let language = subtags.next().unwrap_or_default();
    text.len() <= LANGUAGE_TAG
        && (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && subtags.clone().all(|subtag| (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        // A single letter announces an extension, which has to follow.
        && subtags.next_back().is_none_or(|last| last.len() > 1)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    const ALL: [Field; 5] = [
        Field::DisplayName,
        Field::Bio,
        Field::AvatarUri,
        Field::Locale,
        Field::TimeZone,
    ];

    fn wrong(profile: &Profile) -> Vec<String> {
        let zones = TimeZones::of(["Europe/Vienna"]);
        violations(profile, &ALL, &zones)
            .into_iter()
            .map(|violation| violation.field.into_owned())
            .collect()
    }

    #[test]
    fn empty_values_and_sound_ones_pass() {
        assert!(wrong(&Profile::default()).is_empty());
        let profile = Profile {
            display_name: "Zoë Übermut 🦀".into(),
            bio: "First line.\n\tSecond line.".into(),
            avatar_uri: "https://example.com/a.png?size=64#face".into(),
            locale: "de-AT".into(),
            time_zone: "Europe/Vienna".into(),
            ..Profile::default()
        };
        assert!(wrong(&profile).is_empty());
    }

    #[test]
    fn lengths_count_characters_not_bytes() {
        assert!(
            wrong(&Profile {
                display_name: "ü".repeat(100),
                bio: "🦀".repeat(2_000),
                ..Profile::default()
            })
            .is_empty()
        );
        let long = Profile {
            display_name: "u".repeat(101),
            bio: "b".repeat(2_001),
            ..Profile::default()
        };
        assert_eq!(wrong(&long), ["profile.display_name", "profile.bio"]);
    }

    #[test]
    fn control_characters_are_refused() {
        let profile = Profile {
            display_name: "two\nlines".into(),
            bio: "a\0b".into(),
            ..Profile::default()
        };
        assert_eq!(wrong(&profile), ["profile.display_name", "profile.bio"]);
    }

    #[test]
    fn an_avatar_is_an_https_uri_without_credentials() {
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        for uri in [
            "http://example.com/a.png",
            "/a.png",
            "javascript:alert(1)",
            "https://",
            "https://user:secret@example.com/",
            "not a uri",
            &long,
        ] {
            assert_eq!(
                wrong(&Profile {
                    avatar_uri: uri.into(),
                    ..Profile::default()
                }),
                ["profile.avatar_uri"],
                "{uri}"
            );
        }
    }

    #[test]
    fn a_locale_has_the_shape_of_a_language_tag() {
        for tag in [
            "en",
            "de-AT",
            "zh-Hant-TW",
            "sl-rozaj-biske",
            "es-419",
            "de-CH-1996",
            "en-u-ca-buddhist",
        ] {
            assert!(is_language_tag(tag), "{tag}");
        }
        for tag in [
            "",
            "e",
            "englishlanguage",
            "de_AT",
            "de-",
            "-AT",
            "de--AT",
            "d3",
            "en-u",
            "de-toolongsubtag",
            "a1-US",
        ] {
            assert!(!is_language_tag(tag), "{tag}");
        }
    }

    #[test]
    fn an_unknown_time_zone_is_refused() {
        assert_eq!(
            wrong(&Profile {
                time_zone: "Europe/Atlantis".into(),
                ..Profile::default()
            }),
            ["profile.time_zone"]
        );
    }

    #[test]
    fn only_named_fields_are_judged_and_changed() {
        let mut row = row();
        let profile = Profile {
            display_name: "new".into(),
            bio: "b".repeat(3_000),
            ..Profile::default()
        };
        assert!(violations(&profile, &[Field::DisplayName], &TimeZones::of([])).is_empty());
        assert_eq!(
            apply(&mut row, profile, &[Field::DisplayName, Field::Locale]),
            ["display_name", "locale"]
        );
        assert_eq!(
            (
                row.display_name.as_str(),
                row.bio.as_str(),
                row.locale.as_str()
            ),
            ("new", "old bio", "")
        );
    }

    #[test]
    fn a_value_that_is_the_same_is_no_change() {
        let mut row = row();
        let same = Profile {
            display_name: row.display_name.clone(),
            ..Profile::default()
        };
        assert!(apply(&mut row, same, &[Field::DisplayName]).is_empty());
    }

    #[test]
    fn what_registration_gave_is_cut_to_what_a_profile_may_hold() {
        assert_eq!(
            first_display_name(&format!("a\nb{}", "c".repeat(200)))
                .chars()
                .count(),
            100
        );
        assert_eq!(first_locale("de-AT".into()), "de-AT");
        assert_eq!(first_locale("not a tag".into()), "");
    }

    fn row() -> ProfileRow {
        ProfileRow {
            id: Uuid::now_v7(),
            display_name: "old".into(),
            bio: "old bio".into(),
            avatar_uri: String::new(),
            locale: "en".into(),
            time_zone: String::new(),
            version: 1,
            create_time: OffsetDateTime::UNIX_EPOCH,
            update_time: OffsetDateTime::UNIX_EPOCH,
        }
    }
}
