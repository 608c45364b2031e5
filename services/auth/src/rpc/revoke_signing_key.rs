//! AdminService.RevokeSigningKey: somebody else may have the key. Whoever was signed in by it refreshes.

use grimoire_proto::auth::v1::{RevokeSigningKeyRequest, RevokeSigningKeyResponse};

use crate::error::Error;
use crate::rotation::Rotation;
use crate::trust::Trust;

pub(super) async fn revoke_signing_key(
    rotation: &Rotation,
    trust: &Trust,
    request: &RevokeSigningKeyRequest,
) -> Result<RevokeSigningKeyResponse, Error> {
    if !rotation.revoke(&request.kid).await? {
        return Err(Error::NotFound("signing key"));
    }
    trust.revoked();
    Ok(RevokeSigningKeyResponse {})
}
