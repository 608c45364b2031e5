//! AdminService: each call is one function in a file of its name.

use std::sync::Arc;

use chassis::caller::Caller;
use grimoire_proto::auth::v1::admin_service_server::AdminService;
use grimoire_proto::auth::v1::*;
use outbox::Wake;
use sqlx::PgPool;
use tonic::{Request, Response, Status, async_trait};

use super::{
    disable_account, force_reset, list_accounts, list_signing_keys, lock_account,
    revoke_signing_key, rotate_signing_key, set_roles, unlock_account,
};
use crate::email::Pseudonyms;
use crate::mail_token::MailTokens;
use crate::password::Passwords;
use crate::rotation::Rotation;
use crate::trust::Trust;

pub(crate) struct AdminApi {
    pub(crate) pool: PgPool,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) mail_tokens: MailTokens,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) rotation: Rotation,
    pub(crate) trust: Arc<Trust>,
    pub(crate) relay: Wake,
}

#[async_trait]
impl AdminService for AdminApi {
    async fn list_signing_keys(
        &self,
        _request: Request<ListSigningKeysRequest>,
    ) -> Result<Response<ListSigningKeysResponse>, Status> {
        let answer = list_signing_keys::list_signing_keys(&self.pool).await?;
        Ok(Response::new(answer))
    }

    async fn rotate_signing_key(
        &self,
        _request: Request<RotateSigningKeyRequest>,
    ) -> Result<Response<RotateSigningKeyResponse>, Status> {
        let answer = rotate_signing_key::rotate_signing_key(&self.rotation, &self.trust).await?;
        Ok(Response::new(answer))
    }

    async fn revoke_signing_key(
        &self,
        request: Request<RevokeSigningKeyRequest>,
    ) -> Result<Response<RevokeSigningKeyResponse>, Status> {
        let request = request.into_inner();
        let answer =
            revoke_signing_key::revoke_signing_key(&self.rotation, &self.trust, &request).await?;
        Ok(Response::new(answer))
    }

    async fn list_accounts(
        &self,
        request: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsResponse>, Status> {
        let answer = list_accounts::list_accounts(&self.pool, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn lock_account(
        &self,
        request: Request<LockAccountRequest>,
    ) -> Result<Response<LockAccountResponse>, Status> {
        let answer =
            lock_account::lock_account(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn unlock_account(
        &self,
        request: Request<UnlockAccountRequest>,
    ) -> Result<Response<UnlockAccountResponse>, Status> {
        let answer =
            unlock_account::unlock_account(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn disable_account(
        &self,
        request: Request<DisableAccountRequest>,
    ) -> Result<Response<DisableAccountResponse>, Status> {
        let answer =
            disable_account::disable_account(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn set_roles(
        &self,
        request: Request<SetRolesRequest>,
    ) -> Result<Response<SetRolesResponse>, Status> {
        let caller = Caller::of(&request).clone();
        let answer = set_roles::set_roles(self, &caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn force_reset(
        &self,
        request: Request<ForceResetRequest>,
    ) -> Result<Response<ForceResetResponse>, Status> {
        let answer =
            force_reset::force_reset(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}
