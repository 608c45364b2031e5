//! AdminService.RotateSigningKey: the next key signs, as it would when the active one has had its time.

use grimoire_proto::auth::v1::RotateSigningKeyResponse;

use crate::error::Error;
use crate::rotation::Rotation;
use crate::trust::Trust;

pub(super) async fn rotate_signing_key(
    rotation: &Rotation,
    trust: &Trust,
) -> Result<RotateSigningKeyResponse, Error> {
    if !rotation.ask().await? {
        return Err(Error::SigningKeyNotReady);
    }
    trust.revoked();
    Ok(RotateSigningKeyResponse {})
}
