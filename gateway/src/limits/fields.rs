//! Limits as structured fields (RFC 9651): `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-11.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::config::Rate;

/// A `RateLimit-Policy`: of each limit its quota `q`, in requests, and the seconds `w` in which all of it comes back. A partition key
/// (`pk`) would tell clients nothing, for each has one budget of a kind, and its name says which.
pub(super) fn policy<'l>(limits: impl Iterator<Item = (&'l str, Rate)>) -> HeaderValue {
    let items = limits.map(|(name, rate)| {
        format!(
            "\"{name}\";q={};w={}",
            rate.burst,
            whole_seconds(rate.window())
        )
    });
    let text = items.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A `RateLimit`: what remains, and in how many seconds there is more. That is said only where nothing remains: of a full budget and a short time
/// a client would make a rate that it does not have.
pub(super) fn standing(name: &str, remaining: u32, wait: Option<Duration>) -> Option<HeaderValue> {
    let mut text = String::with_capacity(32);
    let _ = write!(text, "\"{name}\";r={remaining}");
    if let Some(wait) = wait {
        let _ = write!(text, ";t={}", whole_seconds(wait));
    }
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

/// Rounded up, so that who waits so long is not refused again; Retry-After is rounded in the same way.
fn whole_seconds(time: Duration) -> u128 {
    time.as_millis().div_ceil(1000).max(1)
}

#[cfg(test)]
mod tests {
    use sfv::{List, ListEntry, Parser};

    use super::*;

    fn parsed(value: &HeaderValue) -> List {
        Parser::parse_list(value.as_bytes()).unwrap()
    }

    /// Name and parameters of each item.
    fn items(list: &List) -> Vec<(&str, Vec<(&str, i64)>)> {
        let items = list.iter().map(|entry| {
            let ListEntry::Item(item) = entry else {
                panic!("an item")
            };
            let parameters = item.params.iter();
            (
                item.bare_item.as_str().unwrap(),
                parameters
                    .map(|(name, value)| (name.as_str(), value.as_int().unwrap()))
                    .collect(),
            )
        });
        items.collect()
    }

    #[test]
    fn a_policy_is_a_list_of_strings_with_whole_numbers() {
        let rate = |text: &str| text.parse::<Rate>().unwrap();
        let limits = [
            ("address", rate("20/s burst 100")),
            ("credentials", rate("10/min")),
            ("account", rate("3/s")),
        ];
        let policy = parsed(&policy(limits.into_iter()));
        assert_eq!(
            items(&policy),
            [
                ("address", vec![("q", 100), ("w", 5)]),
                ("credentials", vec![("q", 10), ("w", 60)]),
                ("account", vec![("q", 3), ("w", 1)]),
            ]
        );
    }

    #[test]
    fn a_standing_has_a_time_only_where_it_is_given_and_never_none_of_it() {
        let left = parsed(&standing("account", 7, None).unwrap());
        assert_eq!(items(&left), [("account", vec![("r", 7)])]);
        let over = parsed(&standing("account", 0, Some(Duration::from_millis(50))).unwrap());
        assert_eq!(items(&over), [("account", vec![("r", 0), ("t", 1)])]);
    }
}
