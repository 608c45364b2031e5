//! Values as they go over the wire.

use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, Violation};

/// The etag of what has this version. Opaque to callers: they send back what they have read.
pub(crate) fn etag(version: i64) -> String {
    format!("v{version}")
}

/// Where a page ends, in a list that is ordered by time and id: seconds, nanoseconds, id.
pub(crate) type Position = (i64, i32, Uuid);

/// The position of an entry.
pub(crate) fn position(time: OffsetDateTime, id: Uuid) -> Position {
    let Timestamp { seconds, nanos } = chassis::wire::timestamp(time);
    (seconds, nanos, id)
}

/// The time and id of a position, which came from a caller.
pub(crate) fn time_and_id((seconds, nanos, id): Position) -> Result<(OffsetDateTime, Uuid), Error> {
    let time = chassis::wire::time(&Timestamp { seconds, nanos });
    time.map(|time| (time, id)).ok_or_else(|| {
        Error::InvalidFields(vec![Violation::new("page_token", "was made by nobody")])
    })
}
