//! AuditService.ListAuditRecords. Who may call it, admins, is in its access option.

use chassis::page::Page;
use chassis::wire;
use grimoire_proto::audit::v1::{AuditRecord, ListAuditRecordsRequest, ListAuditRecordsResponse};
use prost_types::Timestamp;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;
use crate::store::audit_records::{self, AuditRow, Filter, NO_ACCOUNT};

pub(super) async fn list_audit_records(
    pool: &PgPool,
    request: ListAuditRecordsRequest,
) -> Result<ListAuditRecordsResponse, Error> {
    let list = [
        "audit records",
        &request.account_id,
        &request.r#type,
        &request.trace_id,
        &bound(request.start_time.as_ref()),
        &bound(request.end_time.as_ref()),
    ];
    let page = Page::<Position>::of(request.page_size, &request.page_token, &list)?;
    let before = page.after.map(time_and_id).transpose()?;
    let filter = filter(request)?;

    let mut rows = audit_records::newest_first(pool, &filter, before, page.limit()).await?;
    let next_page_token = page.cut(&mut rows, |row| {
        let Timestamp { seconds, nanos } = wire::timestamp(row.time);
        (seconds, nanos, row.id)
    });
    Ok(ListAuditRecordsResponse {
        audit_records: rows.into_iter().map(message).collect(),
        next_page_token,
    })
}

/// Where a page ends: seconds, nanoseconds, id.
type Position = (i64, i32, Uuid);

fn time_and_id((seconds, nanos, id): Position) -> Result<(OffsetDateTime, Uuid), Error> {
    Ok((time(Timestamp { seconds, nanos }, "page_token")?, id))
}

fn bound(time: Option<&Timestamp>) -> String {
    time.map(|time| format!("{}.{}", time.seconds, time.nanos))
        .unwrap_or_default()
}

fn filter(request: ListAuditRecordsRequest) -> Result<Filter, Error> {
    let wrong = |field, wrong| Error::InvalidField { field, wrong };
    let account_id = match request.account_id.as_str() {
        "" => None,
        id => Some(
            id.parse()
                .map_err(|_| wrong("account_id", "is no account id"))?,
        ),
    };
    let r#type = Some(request.r#type).filter(|name| !name.is_empty());
    if r#type.as_ref().is_some_and(|name| {
        !name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    }) {
        return Err(wrong("type", "is no name of an event, such as LOGGED_IN"));
    }
    let trace_id = Some(request.trace_id.to_ascii_lowercase()).filter(|id| !id.is_empty());
    if trace_id
        .as_ref()
        .is_some_and(|id| id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(wrong("trace_id", "is not 32 hexadecimal digits"));
    }
    Ok(Filter {
        account_id,
        r#type,
        trace_id,
        start: request
            .start_time
            .map(|start| time(start, "start_time"))
            .transpose()?,
        end: request
            .end_time
            .map(|end| time(end, "end_time"))
            .transpose()?,
    })
}

fn time(timestamp: Timestamp, field: &'static str) -> Result<OffsetDateTime, Error> {
    wire::time(&timestamp).ok_or(Error::InvalidField {
        field,
        wrong: "is no time",
    })
}

fn message(row: AuditRow) -> AuditRecord {
    AuditRecord {
        id: row.id.to_string(),
        r#type: row.r#type,
        account_id: account_id(row.account_id),
        time: Some(wire::timestamp(row.time)),
        trace_id: row.trace_id.unwrap_or_default(),
        details: row.details.0.into_iter().collect(),
    }
}

fn account_id(id: Uuid) -> String {
    if id == NO_ACCOUNT {
        String::new()
    } else {
        id.to_string()
    }
}
