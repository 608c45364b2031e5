//! DeliveryService.DiscardParkedEvents. Who may call it, admins, is in its access option.

use chassis::caller::Caller;
use grimoire_proto::delivery::v1::{DiscardParkedEventsRequest, DiscardParkedEventsResponse};
use inbox::operator::Discard;
use sqlx::PgPool;

use crate::error::Error;
use crate::operator::{self, Decider};
use crate::rpc::{first_record, parked_key};

/// A second call gives up the next event: with the etag of the list only the one that was seen.
pub(super) async fn discard_parked_events(
    pool: &PgPool,
    caller: &Caller,
    request: &DiscardParkedEventsRequest,
) -> Result<DiscardParkedEventsResponse, Error> {
    let key = parked_key(&request.subscriber, &request.topic, &request.key)?;
    let by = Decider::Administrator(caller.account()?);
    let expected = match request.etag.as_str() {
        "" => None,
        etag => Some(first_record(etag).ok_or(Error::StaleEtag)?),
    };
    let gap = operator::gap(request.accept_gap);
    match operator::discard(pool, by, key, gap, expected).await? {
        Discard::Discarded(offset) => Ok(DiscardParkedEventsResponse { offset }),
        Discard::NotParked => Err(Error::NotParked),
        Discard::Overtaken => Err(Error::StaleEtag),
        Discard::BehindGap { last, version } => Err(Error::EventsMissing { last, version }),
    }
}
