//! DeliveryService.RetryParkedEvents. Who may call it, admins, is in its access option.

use chassis::caller::Caller;
use grimoire_proto::delivery::v1::{RetryParkedEventsRequest, RetryParkedEventsResponse};
use sqlx::PgPool;

use crate::error::Error;
use crate::operator::{self, Decider};
use crate::rpc::parked_key;

pub(super) async fn retry_parked_events(
    pool: &PgPool,
    caller: &Caller,
    request: &RetryParkedEventsRequest,
) -> Result<RetryParkedEventsResponse, Error> {
    let key = parked_key(&request.subscriber, &request.topic, &request.key)?;
    let by = Decider::Administrator(caller.account()?);
    if operator::retry(pool, by, key, operator::gap(request.accept_gap)).await? {
        return Ok(RetryParkedEventsResponse {});
    }
    Err(Error::NotParked)
}
