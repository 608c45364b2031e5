//! The services of this process; each call is one function in a file of its name.

mod discard_parked_events;
mod list_audit_records;
mod list_parked_events;
mod retry_parked_events;

use chassis::caller::Caller;
use grimoire_proto::audit::v1::audit_service_server::AuditService;
use grimoire_proto::audit::v1::{ListAuditRecordsRequest, ListAuditRecordsResponse};
use grimoire_proto::delivery::v1::delivery_service_server::DeliveryService;
use grimoire_proto::delivery::v1::{
    DiscardParkedEventsRequest, DiscardParkedEventsResponse, ListParkedEventsRequest,
    ListParkedEventsResponse, RetryParkedEventsRequest, RetryParkedEventsResponse,
};
use inbox::operator::KeyOf;
use sqlx::PgPool;
use tonic::{Request, Response, Status, async_trait};

use crate::error::Error;

pub(crate) struct AuditApi {
    pub(crate) pool: PgPool,
}

#[async_trait]
impl AuditService for AuditApi {
    async fn list_audit_records(
        &self,
        request: Request<ListAuditRecordsRequest>,
    ) -> Result<Response<ListAuditRecordsResponse>, Status> {
        let answer =
            list_audit_records::list_audit_records(&self.pool, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct DeliveryApi {
    pub(crate) pool: PgPool,
}

#[async_trait]
impl DeliveryService for DeliveryApi {
    async fn list_parked_events(
        &self,
        request: Request<ListParkedEventsRequest>,
    ) -> Result<Response<ListParkedEventsResponse>, Status> {
        let answer = list_parked_events::list_parked_events(&self.pool, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn retry_parked_events(
        &self,
        request: Request<RetryParkedEventsRequest>,
    ) -> Result<Response<RetryParkedEventsResponse>, Status> {
        let answer = retry_parked_events::retry_parked_events(
            &self.pool,
            Caller::of(&request),
            request.get_ref(),
        )
        .await?;
        Ok(Response::new(answer))
    }

    async fn discard_parked_events(
        &self,
        request: Request<DiscardParkedEventsRequest>,
    ) -> Result<Response<DiscardParkedEventsResponse>, Status> {
        let answer = discard_parked_events::discard_parked_events(
            &self.pool,
            Caller::of(&request),
            request.get_ref(),
        )
        .await?;
        Ok(Response::new(answer))
    }
}

/// The key that a request names. That of records without one is empty.
fn parked_key<'a>(subscriber: &'a str, topic: &'a str, key: &'a str) -> Result<KeyOf<'a>, Error> {
    for (field, name) in [("subscriber", subscriber), ("topic", topic)] {
        if name.is_empty() {
            let wrong = "is missing";
            return Err(Error::InvalidField { field, wrong });
        }
    }
    Ok(KeyOf {
        subscriber: text("subscriber", subscriber)?,
        topic: text("topic", topic)?,
        key: text("key", key)?,
    })
}

/// A text that PostgreSQL can look for: it keeps no NUL.
fn text<'a>(field: &'static str, text: &'a str) -> Result<&'a str, Error> {
    if text.contains('\0') {
        let wrong = "has a NUL";
        return Err(Error::InvalidField { field, wrong });
    }
    Ok(text)
}

/// The etag of a parked key whose first record is this one. Opaque to callers: they send back what they have read.
fn etag(first_record: i64) -> String {
    format!("v{first_record}")
}

/// The record that an etag is of; none where it was made by nobody.
fn first_record(etag: &str) -> Option<i64> {
    etag.strip_prefix('v')?.parse().ok()
}
