//! AccountService.GetAccount.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{GetAccountRequest, GetAccountResponse};
use sqlx::PgPool;

use super::account_on_the_wire;
use crate::error::Error;
use crate::store::accounts;

pub(super) async fn get_account(
    pool: &PgPool,
    caller: &Caller,
    request: &GetAccountRequest,
) -> Result<GetAccountResponse, Error> {
    let id = caller.own(&request.account)?;
    let account = accounts::get(pool, id.0)
        .await?
        .ok_or(Error::NotFound("account"))?;
    Ok(GetAccountResponse {
        account: Some(account_on_the_wire(&account)),
    })
}
