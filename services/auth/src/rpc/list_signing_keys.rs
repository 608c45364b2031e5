//! AdminService.ListSigningKeys.

use chassis::wire::timestamp;
use grimoire_proto::auth::v1::{ListSigningKeysResponse, SigningKey, SigningKeyState};
use sqlx::PgPool;

use crate::error::Error;
use crate::store::signing_keys;

pub(super) async fn list_signing_keys(pool: &PgPool) -> Result<ListSigningKeysResponse, Error> {
    let keys = signing_keys::list(pool).await?;
    let signing_keys = keys.into_iter().map(|key| SigningKey {
        kid: key.kid,
        state: match key.state.as_str() {
            "pending" => SigningKeyState::Pending,
            "active" => SigningKeyState::Active,
            "retiring" => SigningKeyState::Retiring,
            _ => SigningKeyState::Unspecified,
        }
        .into(),
        create_time: Some(timestamp(key.created_at)),
        activate_time: key.activated_at.map(timestamp),
        retire_time: key.retiring_at.map(timestamp),
    });
    Ok(ListSigningKeysResponse {
        signing_keys: signing_keys.collect(),
    })
}
