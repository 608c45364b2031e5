//! How many mails an address gets, however often somebody asks for them.

use time::{Duration, OffsetDateTime};

use crate::store::address_state::AddressState;

const MAILS_AN_HOUR: i32 = 5;

/// The mails of this hour after one more, and since when they are counted; none when the hour is full.
pub(crate) fn one_more_mail(state: &AddressState) -> Option<(i32, OffsetDateTime)> {
    match state.mails_since {
        Some(since) if state.now - since < Duration::hours(1) => {
            (state.mails < MAILS_AN_HOUR).then_some((state.mails + 1, since))
        }
        _ => Some((1, state.now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-01 12:00 UTC);

    fn mails(mails: i32, minutes_ago: i64) -> Option<(i32, OffsetDateTime)> {
        one_more_mail(&AddressState {
            mails,
            mails_since: Some(NOW - Duration::minutes(minutes_ago)),
            failures: 0,
            last_failure_at: None,
            now: NOW,
        })
    }

    #[test]
    fn an_address_gets_five_mails_an_hour() {
        assert_eq!(mails(4, 59), Some((5, NOW - Duration::minutes(59))));
        assert_eq!(mails(5, 59), None);
        assert_eq!(mails(5, 60), Some((1, NOW)));
    }
}
