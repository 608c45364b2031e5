//! DirectoryService.LookupAccounts.

use grimoire_proto::auth::v1::{
    AccountState, DirectoryEntry, LookupAccountsRequest, LookupAccountsResponse,
};
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::{Error, Violation};
use crate::store::accounts;

const MOST: usize = 500;

pub(super) async fn lookup_accounts(
    pool: &PgPool,
    request: &LookupAccountsRequest,
) -> Result<LookupAccountsResponse, Error> {
    if request.accounts.len() > MOST {
        return Err(Violation::new("accounts", format!("has more than {MOST} entries")).into());
    }
    let ids = request
        .accounts
        .iter()
        .enumerate()
        .map(|(index, id)| {
            Uuid::try_parse(id)
                .map_err(|_| Violation::new(format!("accounts[{index}]"), "is not an account id"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let entries = accounts::directory(pool, &ids)
        .await?
        .into_iter()
        .map(|entry| DirectoryEntry {
            account: entry.id.to_string(),
            state: i32::from(if entry.held {
                AccountState::Disabled
            } else {
                AccountState::Active
            }),
            display_name: entry.display_name,
            locale: entry.locale,
        })
        .collect();
    Ok(LookupAccountsResponse { entries })
}
