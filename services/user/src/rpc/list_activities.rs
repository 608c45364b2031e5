//! ActivityService.ListActivities.

use chassis::caller::Caller;
use chassis::page::Page;
use grimoire_proto::user::v1::{ListActivitiesRequest, ListActivitiesResponse};
use sqlx::PgPool;

use crate::error::{Error, Violation};
use crate::store::activities;
use crate::{activity, wire};

pub(super) async fn list_activities(
    pool: &PgPool,
    caller: &Caller,
    request: &ListActivitiesRequest,
) -> Result<ListActivitiesResponse, Error> {
    let account = caller.own(&request.user)?;
    let of_type = Some(request.r#type.as_str()).filter(|name| !name.is_empty());
    if of_type.is_some_and(|name| !activity::is_event_name(name)) {
        return Err(Error::InvalidFields(vec![Violation::new(
            "type",
            activity::NO_EVENT_NAME,
        )]));
    }
    let list = ["activities", &account.to_string(), &request.r#type];
    let page = Page::<wire::Position>::of(request.page_size, &request.page_token, &list)?;
    let before = page.after.map(wire::time_and_id).transpose()?;

    let mut rows =
        activities::newest_first(pool, account.into(), of_type, before, page.limit()).await?;
    let next_page_token = page.cut(&mut rows, |row| wire::position(row.time, row.id));
    Ok(ListActivitiesResponse {
        activities: rows.into_iter().map(activity::message).collect(),
        next_page_token,
    })
}
