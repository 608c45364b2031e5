//! ProfileService.UpdateProfile.

use chassis::caller::Caller;
use grimoire_proto::events::v1::ProfileUpdated;
use grimoire_proto::user::v1::{UpdateProfileRequest, UpdateProfileResponse};

use crate::error::Error;
use crate::rpc::ProfileApi;
use crate::store::profiles;
use crate::{profile, topics, update_mask};

pub(super) async fn update_profile(
    ProfileApi {
        users,
        time_zones,
        relay,
    }: &ProfileApi,
    caller: &Caller,
    request: UpdateProfileRequest,
) -> Result<UpdateProfileResponse, Error> {
    let account = caller.own(&request.user)?;
    let wanted = request.profile.unwrap_or_default();
    let fields = update_mask::fields(request.update_mask.as_ref(), &profile::FIELDS)?;
    let violations = profile::violations(&wanted, &fields, time_zones);
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }

    let (mut transaction, mut row) = users.lock(account).await?;
    if !wanted.etag.is_empty() && wanted.etag != profile::etag(&row) {
        return Err(Error::StaleEtag);
    }
    let changed = profile::apply(&mut row, wanted, &fields);
    if changed.is_empty() {
        return Ok(UpdateProfileResponse {
            profile: Some(profile::message(row)),
        });
    }
    let updated = profiles::update(&mut *transaction, &row).await?;
    let event = ProfileUpdated {
        account_id: account.to_string(),
        session_id: caller
            .session
            .map(|session| session.to_string())
            .unwrap_or_default(),
        fields: changed,
    };
    outbox::append(
        &mut transaction,
        &topics::PROFILE,
        &event.account_id,
        updated.event_version,
        &event,
    )
    .await?;
    transaction.commit().await?;
    relay.committed();

    row.version = updated.version;
    row.update_time = updated.update_time;
    Ok(UpdateProfileResponse {
        profile: Some(profile::message(row)),
    })
}
