//! PreferencesService.GetPreferences.

use chassis::caller::Caller;
use grimoire_proto::user::v1::{GetPreferencesRequest, GetPreferencesResponse};

use crate::error::Error;
use crate::store::preferences::{self, PreferencesRow};
use crate::users::Users;

pub(super) async fn get_preferences(
    users: &Users,
    caller: &Caller,
    request: &GetPreferencesRequest,
) -> Result<GetPreferencesResponse, Error> {
    let account = caller.own(&request.user)?;
    let row = match preferences::read(&users.pool, account.into()).await? {
        Some(row) => row,
        None => {
            // The defaults of somebody, not of nobody.
            users.read(account).await?;
            PreferencesRow::default()
        }
    };
    Ok(GetPreferencesResponse {
        preferences: Some(crate::preferences::message(row)),
    })
}
