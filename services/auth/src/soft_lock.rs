//! How guessing at one address is slowed down, with the time passed in.
//!
//! After ten failures in a row, wherever they came from, a network (an IPv4 address, an IPv6 /48) from which an attempt has failed is
//! refused for 1, 2, 4, .. up to 60 seconds after its last failure. A refused attempt is answered like a wrong password, in the same
//! time, and does not count, so guessing faster does not make the delay longer.
//!
//! The first attempt from a network is always looked at, so no stranger can lock the owner out of an account, but for one who shares
//! the owner's network. The price: who guesses from many networks has one try a minute in each. How often one client
//! address may try is the gateway's limit.

use time::{Duration, OffsetDateTime};

/// Failures in a row that are free.
const FREE_FAILURES: i32 = 10;
const LONGEST_DELAY_SECONDS: i64 = 60;
/// Failures are forgotten after this long without one.
const MEMORY: Duration = Duration::hours(24);

/// Whether an attempt is refused unseen: `failed_here_at` is when the last one from its network failed.
pub(crate) fn refuses(
    failures: i32,
    failed_here_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> bool {
    failed_here_at.is_some_and(|failed| now - failed < delay(failures))
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
        refuses(failures, Some(NOW), NOW + Duration::seconds(seconds))
    }

    #[test]
    fn nine_failures_delay_nothing_and_the_tenth_delays_a_second() {
        assert!(!refuses(9, Some(NOW), NOW));
        assert!(refuses(10, Some(NOW), NOW));
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
    fn the_first_attempt_from_a_network_is_never_refused() {
        assert!(!refuses(1_000, None, NOW));
    }

    #[test]
    fn a_day_without_failures_forgets_them() {
        assert_eq!(after_failure(40, Some(NOW), NOW + Duration::hours(23)), 41);
        assert_eq!(after_failure(40, Some(NOW), NOW + Duration::hours(24)), 1);
        assert_eq!(after_failure(0, None, NOW), 1);
    }
}
