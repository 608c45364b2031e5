//! ProfileService.GetProfile.

use chassis::caller::Caller;
use grimoire_proto::user::v1::{GetProfileRequest, GetProfileResponse};

use crate::error::Error;
use crate::profile;
use crate::users::Users;

pub(super) async fn get_profile(
    users: &Users,
    caller: &Caller,
    request: &GetProfileRequest,
) -> Result<GetProfileResponse, Error> {
    let account = caller.own(&request.user)?;
    let row = users.read(account).await?;
    Ok(GetProfileResponse {
        profile: Some(profile::message(row)),
    })
}
