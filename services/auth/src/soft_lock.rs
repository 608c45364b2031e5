//! How guessing at one address is slowed down, with the time passed in.
//!
//! After ten failures in a row further attempts are refused for 1, 2, 4, .. up to 60 seconds after each failure. A refused attempt is
//! answered like a wrong password, in the same time, and does not count, so guessing faster does not make the delay longer.
//!
//! An attempt from a network that the account has signed in from within 90 days (an IPv4 address, an IPv6 /64) is never refused, so a
//! stranger cannot lock the owner out there. Elsewhere a stranger can: who guesses once a minute, and is first after each delay,
//! keeps the address closed for networks that it has not been used from. Sessions that are open go on. How often one
//! client address may try is the gateway's limit.

use time::{Duration, OffsetDateTime};

/// Failures in a row that are free.
const FREE_FAILURES: i32 = 10;
const LONGEST_DELAY_SECONDS: i64 = 60;
/// Failures are forgotten after this long without one.
const MEMORY: Duration = Duration::hours(24);

/// Whether an attempt is refused unseen.
pub(crate) fn refuses(
    failures: i32,
    last_failure_at: Option<OffsetDateTime>,
    familiar: bool,
    now: OffsetDateTime,
) -> bool {
    match last_failure_at {
        Some(last) if !familiar => now - last < delay(failures),
        _ => false,
    }
}

/// The count after one more failure.
pub(crate) fn after_failure(
    failures: i32,
    last_failure_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> i32 {
    match last_failure_at {
        Some(last) if now - last < MEMORY => failures.saturating_add(1),
        _ => 1,
    }
}

fn delay(failures: i32) -> Duration {
    if failures < FREE_FAILURES {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(failures - FREE_FAILURES).unwrap_or(0).min(6);
    Duration::seconds((1_i64 << doublings).min(LONGEST_DELAY_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-01-01 12:00 UTC);

    fn refused_after(failures: i32, seconds: i64) -> bool {
        refuses(failures, Some(NOW), false, NOW + Duration::seconds(seconds))
    }

    #[test]
    fn nine_failures_delay_nothing_and_the_tenth_delays_a_second() {
        assert!(!refuses(9, Some(NOW), false, NOW));
        assert!(refuses(10, Some(NOW), false, NOW));
        assert!(!refused_after(10, 1));
    }

    #[test]
    fn the_delay_doubles_up_to_a_minute() {
        for (failures, seconds) in [
            (11, 2),
            (12, 4),
            (13, 8),
            (14, 16),
            (15, 32),
            (16, 60),
            (17, 60),
            (i32::MAX, 60),
        ] {
            assert!(refused_after(failures, seconds - 1), "{failures}");
            assert!(!refused_after(failures, seconds), "{failures}");
        }
    }

    #[test]
    fn an_attempt_from_where_the_owner_signs_in_is_never_refused() {
        assert!(!refuses(1_000, Some(NOW), true, NOW));
    }

    #[test]
    fn a_day_without_failures_forgets_them() {
        assert_eq!(after_failure(40, Some(NOW), NOW + Duration::hours(23)), 41);
        assert_eq!(after_failure(40, Some(NOW), NOW + Duration::hours(24)), 1);
        assert_eq!(after_failure(0, None, NOW), 1);
    }
}
