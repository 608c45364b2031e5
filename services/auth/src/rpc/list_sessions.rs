//! SessionService.ListSessions.

use chassis::caller::Caller;
use chassis::page::Page;
use chassis::wire::timestamp;
use grimoire_proto::auth::v1::{ListSessionsRequest, ListSessionsResponse, Session};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::Error;
use crate::store::sessions;

pub(super) async fn list_sessions(
    pool: &PgPool,
    caller: &Caller,
    request: &ListSessionsRequest,
) -> Result<ListSessionsResponse, Error> {
    let account = caller.own(&request.account)?;
    let page = Page::<Uuid>::of(
        request.page_size,
        &request.page_token,
        &["sessions", &account.to_string()],
    )?;
    let mut rows = sessions::list(pool, account.0, page.after, page.limit()).await?;
    let next_page_token = page.cut(&mut rows, |row| row.id);
    let current = caller.session.map(|session| session.0);
    let sessions = rows
        .into_iter()
        .map(|row| Session {
            id: row.id.to_string(),
            user_agent: row.user_agent,
            address: row.address,
            create_time: Some(timestamp(row.created_at)),
            last_use_time: Some(timestamp(row.rotated_at)),
            current: current == Some(row.id),
        })
        .collect();
    Ok(ListSessionsResponse {
        sessions,
        next_page_token,
    })
}
