//! Times as they go over the wire.

use prost_types::Timestamp;
use time::OffsetDateTime;

/// A time of the database or of an event.
pub fn timestamp(time: OffsetDateTime) -> Timestamp {
    // The nanoseconds within a second are below 10^9.
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: time.nanosecond() as i32,
    }
}

/// A time of a message; none where it is outside of the years 1 to 9999, which a `google.protobuf.Timestamp` is limited to.
pub fn time(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let second = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    let time = second
        .replace_nanosecond(u32::try_from(timestamp.nanos).ok()?)
        .ok()?;
    (time.year() >= 1).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_went_also_from_before_1970() {
        for (seconds, nanos) in [
            (0, 0),
            (1_795_521_600, 999_999_999),
            (-1, 500_000_000),
            (-62_135_596_800, 0),
            (253_402_300_799, 999_999_999),
        ] {
            let there = Timestamp { seconds, nanos };
            assert_eq!(timestamp(time(&there).unwrap()), there);
        }
    }

    #[test]
    fn what_no_timestamp_may_be_is_no_time() {
        for (seconds, nanos) in [
            (-62_135_596_801, 0),
            (253_402_300_800, 0),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert_eq!(
                time(&Timestamp { seconds, nanos }),
                None,
                "{seconds} {nanos}"
            );
        }
    }
}
