//! AccountService: each call is one function in a file of its name.

use std::sync::Arc;

use chassis::caller::Caller;
use chassis::upstream::Upstream;
use grimoire_proto::auth::v1::account_service_server::AccountService;
use grimoire_proto::auth::v1::*;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use outbox::Wake;
use sqlx::PgPool;
use telemetry::prometheus::IntCounter;
use tonic::{Request, Response, Status, async_trait};

use super::{
    change_email, change_password, complete_registration, confirm_email, delete_account,
    export_account, get_account, register, request_password_reset, reset_password,
};
use crate::client::Client;
use crate::email::Pseudonyms;
use crate::mail_token::MailTokens;
use crate::password::Passwords;
use crate::tokens::TokenIssuer;
use crate::trust::Trust;

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
