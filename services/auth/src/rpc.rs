//! The services of this process; each call is one function in a file of its name.

mod change_email;
mod change_password;
mod complete_registration;
mod confirm_email;
mod delete_account;
mod disable_account;
mod export_account;
mod force_reset;
mod get_account;
mod get_notification;
mod list_accounts;
mod list_sessions;
mod list_signing_keys;
mod lock_account;
mod login;
mod logout;
mod lookup_accounts;
mod reauthenticate;
mod record_receipt;
mod refresh_tokens;
mod register;
mod request_password_reset;
mod reset_password;
mod revoke_all_sessions;
mod revoke_session;
mod revoke_signing_key;
mod rotate_signing_key;
mod set_roles;
mod unlock_account;

use std::sync::Arc;

use chassis::caller::Caller;
use chassis::upstream::Upstream;
use chassis::wire::timestamp;
use grimoire_proto::auth::v1::account_service_server::AccountService;
use grimoire_proto::auth::v1::admin_service_server::AdminService;
use grimoire_proto::auth::v1::directory_service_server::DirectoryService;
use grimoire_proto::auth::v1::erasure_service_server::ErasureService;
use grimoire_proto::auth::v1::notification_service_server::NotificationService;
use grimoire_proto::auth::v1::session_service_server::SessionService;
use grimoire_proto::auth::v1::trust_service_server::TrustService;
use grimoire_proto::auth::v1::*;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use outbox::Wake;
use sqlx::PgPool;
use telemetry::prometheus::{IntCounter, IntCounterVec};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::client::Client;
use crate::email::Pseudonyms;
use crate::mail_token::MailTokens;
use crate::password::Passwords;
use crate::rotation::Rotation;
use crate::store;
use crate::tokens::TokenIssuer;
use crate::trust::{self, Trust};

pub(crate) struct AccountApi {
    pub(crate) pool: PgPool,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) mail_tokens: MailTokens,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) tokens: Arc<TokenIssuer>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) relay: Wake,
    pub(crate) user_data: UserDataServiceClient<Upstream>,
    pub(crate) capped_mails: IntCounter,
}

#[async_trait]
impl AccountService for AccountApi {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let answer = register::register(self, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn complete_registration(
        &self,
        request: Request<CompleteRegistrationRequest>,
    ) -> Result<Response<CompleteRegistrationResponse>, Status> {
        let client = Client::of(Caller::of(&request));
        let answer =
            complete_registration::complete_registration(self, &client, request.into_inner())
                .await?;
        Ok(Response::new(answer))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        let answer =
            get_account::get_account(&self.pool, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        let caller = Caller::of(&request).clone();
        let answer = change_password::change_password(self, &caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn request_password_reset(
        &self,
        request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        let answer =
            request_password_reset::request_password_reset(self, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn reset_password(
        &self,
        request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        let answer = reset_password::reset_password(self, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn change_email(
        &self,
        request: Request<ChangeEmailRequest>,
    ) -> Result<Response<ChangeEmailResponse>, Status> {
        let caller = Caller::of(&request).clone();
        let answer = change_email::change_email(self, &caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn confirm_email(
        &self,
        request: Request<ConfirmEmailRequest>,
    ) -> Result<Response<ConfirmEmailResponse>, Status> {
        let answer = confirm_email::confirm_email(self, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    type ExportAccountStream = export_account::Records;

    async fn export_account(
        &self,
        request: Request<ExportAccountRequest>,
    ) -> Result<Response<Self::ExportAccountStream>, Status> {
        let records =
            export_account::export_account(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(records))
    }

    async fn delete_account(
        &self,
        request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        let answer =
            delete_account::delete_account(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}

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

pub(crate) struct SessionApi {
    pub(crate) pool: PgPool,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) tokens: Arc<TokenIssuer>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) relay: Wake,
    pub(crate) logins: IntCounterVec,
    pub(crate) refreshes: IntCounterVec,
}

#[async_trait]
impl SessionService for SessionApi {
    async fn login(
        &self,
        request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        let client = Client::of(Caller::of(&request));
        let answer = login::login(self, &client, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn refresh_tokens(
        &self,
        request: Request<RefreshTokensRequest>,
    ) -> Result<Response<RefreshTokensResponse>, Status> {
        let answer = refresh_tokens::refresh_tokens(self, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        let answer = logout::logout(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let answer =
            list_sessions::list_sessions(&self.pool, Caller::of(&request), request.get_ref())
                .await?;
        Ok(Response::new(answer))
    }

    async fn revoke_session(
        &self,
        request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        let answer =
            revoke_session::revoke_session(self, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn revoke_all_sessions(
        &self,
        request: Request<RevokeAllSessionsRequest>,
    ) -> Result<Response<RevokeAllSessionsResponse>, Status> {
        let caller = Caller::of(&request);
        let answer =
            revoke_all_sessions::revoke_all_sessions(self, caller, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn reauthenticate(
        &self,
        request: Request<ReauthenticateRequest>,
    ) -> Result<Response<ReauthenticateResponse>, Status> {
        let caller = Caller::of(&request).clone();
        let client = Client::of(&caller);
        let answer =
            reauthenticate::reauthenticate(self, &client, &caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct DirectoryApi {
    pub(crate) pool: PgPool,
}

#[async_trait]
impl DirectoryService for DirectoryApi {
    async fn lookup_accounts(
        &self,
        request: Request<LookupAccountsRequest>,
    ) -> Result<Response<LookupAccountsResponse>, Status> {
        let answer = lookup_accounts::lookup_accounts(&self.pool, request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct NotificationApi {
    pub(crate) pool: PgPool,
    pub(crate) mail_tokens: MailTokens,
}

#[async_trait]
impl NotificationService for NotificationApi {
    async fn get_notification(
        &self,
        request: Request<GetNotificationRequest>,
    ) -> Result<Response<GetNotificationResponse>, Status> {
        let answer =
            get_notification::get_notification(&self.pool, &self.mail_tokens, request.get_ref())
                .await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct ErasureApi {
    pub(crate) pool: PgPool,
    pub(crate) pseudonyms: Pseudonyms,
    pub(crate) relay: Wake,
}

#[async_trait]
impl ErasureService for ErasureApi {
    async fn record_receipt(
        &self,
        request: Request<RecordReceiptRequest>,
    ) -> Result<Response<RecordReceiptResponse>, Status> {
        let answer = record_receipt::record_receipt(self, request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct TrustApi {
    pub(crate) trust: Arc<Trust>,
}

#[async_trait]
impl TrustService for TrustApi {
    type FollowStream = ReceiverStream<Result<FollowResponse, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<FollowRequest>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        Ok(Response::new(trust::follow(
            Arc::clone(&self.trust),
            request.into_inner(),
        )))
    }
}

fn account_on_the_wire(account: &store::accounts::Account) -> Account {
    Account {
        id: account.id.to_string(),
        email: account.email.clone(),
        roles: account.roles.clone(),
        create_time: Some(timestamp(account.created_at)),
        etag: account.revision.to_string(),
    }
}

fn managed_on_the_wire(account: store::accounts::administration::Managed) -> ManagedAccount {
    let state = if account.erased {
        managed_account::State::Erased
    } else if account.deleted {
        managed_account::State::Deleting
    } else if account.locked {
        managed_account::State::Locked
    } else if account.held {
        managed_account::State::Disabled
    } else {
        managed_account::State::Active
    };
    ManagedAccount {
        id: account.id.to_string(),
        email: account.email,
        roles: account.roles,
        state: state.into(),
        create_time: Some(timestamp(account.created_at)),
        etag: account.revision.to_string(),
    }
}
