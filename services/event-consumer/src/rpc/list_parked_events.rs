//! DeliveryService.ListParkedEvents. Who may call it, admins, is in its access option.

use chassis::page::Page;
use chassis::wire;
use grimoire_proto::delivery::v1::parked_events::{Cause, State};
use grimoire_proto::delivery::v1::{
    ListParkedEventsRequest, ListParkedEventsResponse, ParkedEvents,
};
use inbox::operator::{self, Filter, KeyOf, ParkedKey};
use sqlx::PgPool;

use crate::dead_letters::LONGEST_REASON;
use crate::error::Error;
use crate::rpc::{etag, text};

pub(super) async fn list_parked_events(
    pool: &PgPool,
    request: &ListParkedEventsRequest,
) -> Result<ListParkedEventsResponse, Error> {
    let subscriber = text("subscriber", &request.subscriber)?;
    let filter = Filter {
        subscriber: Some(subscriber).filter(|name| !name.is_empty()),
        dead: dead(request.state)?,
    };
    let list = ["parked events", subscriber, &request.state.to_string()];
    let page = Page::<Position>::of(request.page_size, &request.page_token, &list)?;
    let after = page.after.as_ref().map(key_of).transpose()?;

    let mut rows = operator::parked(pool, filter, after, page.limit()).await?;
    let next_page_token = page.cut(&mut rows, |row| {
        (row.subscriber.clone(), row.topic.clone(), row.key.clone())
    });
    Ok(ListParkedEventsResponse {
        parked_events: rows.into_iter().map(message).collect(),
        next_page_token,
    })
}

/// Where a page ends: subscriber, topic, key.
type Position = (String, String, String);

fn key_of((subscriber, topic, key): &Position) -> Result<KeyOf<'_>, Error> {
    Ok(KeyOf {
        subscriber: text("page_token", subscriber)?,
        topic: text("page_token", topic)?,
        key: text("page_token", key)?,
    })
}

/// Whether dead ones are asked for; none: both.
fn dead(state: i32) -> Result<Option<bool>, Error> {
    match State::try_from(state) {
        Ok(State::Unspecified) => Ok(None),
        Ok(State::Parked) => Ok(Some(false)),
        Ok(State::Dead) => Ok(Some(true)),
        Err(_) => Err(Error::InvalidField {
            field: "state",
            wrong: "is no state of parked events",
        }),
    }
}

fn message(row: ParkedKey) -> ParkedEvents {
    let state = if row.dead { State::Dead } else { State::Parked };
    let cause = match row.cause.as_str() {
        "refused" => Cause::Refused,
        "gap" => Cause::Gap,
        "undecodable" => Cause::Undecodable,
        _ => Cause::Unspecified,
    };
    ParkedEvents {
        subscriber: row.subscriber,
        topic: row.topic,
        key: row.key,
        state: state.into(),
        cause: cause.into(),
        reason: row.reason.chars().take(LONGEST_REASON).collect(),
        tries: row.attempts,
        event_count: i32::try_from(row.records).unwrap_or(i32::MAX),
        park_time: Some(wire::timestamp(row.parked_at)),
        retry_time: row.due_at.map(wire::timestamp),
        etag: row.first_record.map(etag).unwrap_or_default(),
    }
}
