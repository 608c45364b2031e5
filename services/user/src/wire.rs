//! Values as they go over the wire.

use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Violation};

/// The etag of what has this version. Opaque to callers: they send back what they have read.
pub(crate) fn etag(version: i64) -> String {
    format!("v{version}")
}

/// A time of the database.
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

/// Where a page ends, in a list that is ordered by time and id: seconds, nanoseconds, id.
pub(crate) type Position = (i64, i32, Uuid);

/// The position of an entry.
pub(crate) fn position(time: OffsetDateTime, id: Uuid) -> Position {
    let Timestamp { seconds, nanos } = timestamp(time);
    (seconds, nanos, id)
}

/// The time and id of a position, which came from a caller.
pub(crate) fn time_and_id((seconds, nanos, id): Position) -> Result<(OffsetDateTime, Uuid), Error> {
    let time = time(&Timestamp { seconds, nanos });
    time.map(|time| (time, id)).ok_or_else(|| {
        Error::InvalidFields(vec![Violation::new("page_token", "was made by nobody")])
    })
}
