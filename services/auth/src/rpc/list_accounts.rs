//! AdminService.ListAccounts.

use chassis::page::Page;
use grimoire_proto::auth::v1::{ListAccountsRequest, ListAccountsResponse};
use sqlx::PgPool;
use uuid::Uuid;

use super::managed_on_the_wire;
use crate::email::Email;
use crate::error::Error;
use crate::store::accounts::administration::{self, Managed};

pub(super) async fn list_accounts(
    pool: &PgPool,
    request: &ListAccountsRequest,
) -> Result<ListAccountsResponse, Error> {
    let email = Some(request.email.as_str())
        .filter(|email| !email.is_empty())
        .map(Email::parse)
        .transpose()?;
    let filter = email.as_ref().map(Email::key).unwrap_or_default();
    let page = Page::<Uuid>::of(
        request.page_size,
        &request.page_token,
        &["accounts", &filter],
    )?;
    let mut rows: Vec<Managed> = match &email {
        // An address has one account: there is no other page.
        Some(email) => administration::with_address(pool, email)
            .await?
            .into_iter()
            .collect(),
        None => administration::newest_first(pool, page.after, page.limit()).await?,
    };
    let next_page_token = page.cut(&mut rows, |row| row.id);
    Ok(ListAccountsResponse {
        accounts: rows.into_iter().map(managed_on_the_wire).collect(),
        next_page_token,
    })
}
