//! The services of this process: the three large ones in files of their names, those that other processes call below. Each call is one
//! function in a file of its name.

mod account_service;
mod admin_service;
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
mod session_service;
mod set_roles;
mod unlock_account;

use std::sync::Arc;

use chassis::wire::timestamp;
use grimoire_proto::auth::v1::directory_service_server::DirectoryService;
use grimoire_proto::auth::v1::erasure_service_server::ErasureService;
use grimoire_proto::auth::v1::notification_service_server::NotificationService;
use grimoire_proto::auth::v1::trust_service_server::TrustService;
use grimoire_proto::auth::v1::*;
use outbox::Wake;
use sqlx::PgPool;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::email::Pseudonyms;
use crate::mail_token::MailTokens;
use crate::store;
use crate::trust::{self, Trust};

pub(crate) use account_service::AccountApi;
pub(crate) use admin_service::AdminApi;
pub(crate) use session_service::SessionApi;

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
