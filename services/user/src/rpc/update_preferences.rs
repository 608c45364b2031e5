//! PreferencesService.UpdatePreferences.

use chassis::caller::Caller;
use grimoire_proto::events::v1::PreferencesUpdated;
use grimoire_proto::user::v1::{UpdatePreferencesRequest, UpdatePreferencesResponse};

use crate::error::Error;
use crate::rpc::PreferencesApi;
use crate::{preferences, store, topics, update_mask};

pub(super) async fn update_preferences(
    PreferencesApi { users, relay }: &PreferencesApi,
    caller: &Caller,
    request: UpdatePreferencesRequest,
) -> Result<UpdatePreferencesResponse, Error> {
    let account = caller.own(&request.user)?;
    let wanted = request.preferences.unwrap_or_default();
    let fields = update_mask::fields(request.update_mask.as_ref(), &preferences::FIELDS)?;
    let violations = preferences::violations(&wanted, &fields);
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }

    let (mut transaction, person) = users.lock(account).await?;
    let mut row = store::preferences::read(&mut *transaction, person.id)
        .await?
        .unwrap_or_default();
    if !wanted.etag.is_empty() && wanted.etag != preferences::etag(&row) {
        return Err(Error::StaleEtag);
    }
    let changed = preferences::apply(&mut row, wanted, &fields);
    if changed.is_empty() {
        return Ok(UpdatePreferencesResponse {
            preferences: Some(preferences::message(row)),
        });
    }
    let row = store::preferences::write(&mut *transaction, person.id, row).await?;
    let event_version = store::profiles::next_event_version(&mut *transaction, person.id).await?;
    let event = PreferencesUpdated {
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
        event_version,
        &event,
    )
    .await?;
    transaction.commit().await?;
    relay.committed();
    Ok(UpdatePreferencesResponse {
        preferences: Some(preferences::message(row)),
    })
}
