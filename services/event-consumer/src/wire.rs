//! Times as they go over the wire.

use prost_types::Timestamp;
use time::OffsetDateTime;

/// A time of the database or of an event.
pub(crate) fn timestamp(time: OffsetDateTime) -> Timestamp {
    // The nanoseconds within a second are below 10^9.
    Timestamp {
        seconds: time.unix_timestamp(),
        nanos: time.nanosecond() as i32,
    }
}

/// A time of a message; none where it is outside of the years 1 to 9999, which a `google.protobuf.Timestamp` is limited to.
pub(crate) fn time(timestamp: &Timestamp) -> Option<OffsetDateTime> {
    let second = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    let time = second
        .replace_nanosecond(u32::try_from(timestamp.nanos).ok()?)
        .ok()?;
    (time.year() >= 1).then_some(time)
}
