//! Plays the services: answers by what is asked, and notes what it was told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grimoire_proto::Reason;
use grimoire_proto::audit::v1::audit_service_server::{AuditService, AuditServiceServer};
use grimoire_proto::audit::v1::{ListAuditRecordsRequest, ListAuditRecordsResponse};
use grimoire_proto::auth::v1::account_service_server::{AccountService, AccountServiceServer};
use grimoire_proto::auth::v1::session_service_server::{SessionService, SessionServiceServer};
use grimoire_proto::auth::v1::{
    Account, ChangeEmailRequest, ChangeEmailResponse, ChangePasswordRequest,
    ChangePasswordResponse, CompleteRegistrationRequest, CompleteRegistrationResponse,
    ConfirmEmailRequest, ConfirmEmailResponse, DeleteAccountRequest, DeleteAccountResponse,
    ExportAccountRequest, ExportAccountResponse, GetAccountRequest, GetAccountResponse,
    ListSessionsRequest, ListSessionsResponse, LoginRequest, LoginResponse, LogoutRequest,
    LogoutResponse, ReauthenticateRequest, ReauthenticateResponse, RefreshTokensRequest,
    RefreshTokensResponse, RegisterRequest, RegisterResponse, RequestPasswordResetRequest,
    RequestPasswordResetResponse, ResetPasswordRequest, ResetPasswordResponse,
    RevokeAllSessionsRequest, RevokeAllSessionsResponse, RevokeSessionRequest,
    RevokeSessionResponse,
};
use grimoire_proto::user::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use grimoire_proto::user::v1::{
    GetProfileRequest, GetProfileResponse, Profile, SearchProfilesRequest, SearchProfilesResponse,
    UpdateProfileRequest, UpdateProfileResponse,
};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Metadata and masks of the last calls.
#[derive(Default)]
pub(crate) struct Seen {
    metadata: Mutex<HashMap<String, String>>,
    mask: Mutex<Vec<String>>,
}

impl Seen {
    /// A value of the metadata of the last call.
    pub(crate) fn metadata(&self, name: &str) -> Option<String> {
        self.metadata.lock().unwrap().get(name).cloned()
    }

    /// The update mask of the last update, sorted.
    pub(crate) fn mask(&self) -> Vec<String> {
        let mut mask = self.mask.lock().unwrap().clone();
        mask.sort();
        mask
    }

    fn note<T>(&self, request: &Request<T>) {
        let headers = request.metadata().clone().into_headers();
        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        *self.metadata.lock().unwrap() = headers.iter().map(text).collect();
    }
}

#[derive(Clone)]
struct Services(Arc<Seen>);

pub(super) fn add(mut server: Server, seen: &Arc<Seen>) -> Router {
    let services = Services(seen.clone());
    server
        .add_service(ProfileServiceServer::new(services.clone()))
        .add_service(AccountServiceServer::new(services.clone()))
        .add_service(SessionServiceServer::new(services.clone()))
        .add_service(AuditServiceServer::new(services))
}

fn failure(reason: Reason, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason.name(), "grimoire", HashMap::new());
    Status::with_error_details(reason.code(), message, details)
}

#[tonic::async_trait]
impl ProfileService for Services {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<GetProfileResponse>, Status> {
        self.0.note(&request);
        match request.into_inner().user.as_str() {
            "missing" => Err(failure(
                Reason::ResourceNotFound,
                "there is no such profile",
            )),
            "broken" => Err(Status::internal("the password of the database is secret")),
            "slow" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(Status::internal("nobody waits so long"))
            }
            user => {
                let profile = Profile {
                    id: user.to_owned(),
                    display_name: "Ada".to_owned(),
                    ..Profile::default()
                };
                Ok(Response::new(GetProfileResponse {
                    profile: Some(profile),
                }))
            }
        }
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        self.0.note(&request);
        let request = request.into_inner();
        *self.0.mask.lock().unwrap() = request.update_mask.unwrap_or_default().paths;
        let profile = request.profile.unwrap_or_default();
        if profile.etag == "stale" {
            return Err(failure(Reason::EtagMismatch, "the profile has changed"));
        }
        if profile.display_name.len() > 100 {
            let mut details = ErrorDetails::with_error_info(
                Reason::InvalidField.name(),
                "grimoire",
                HashMap::new(),
            );
            details.add_bad_request_violation("display_name", "is longer than 100 characters");
            return Err(Status::with_error_details(
                tonic::Code::InvalidArgument,
                "display_name: is too long",
                details,
            ));
        }
        Ok(Response::new(UpdateProfileResponse {
            profile: Some(profile),
        }))
    }

    async fn search_profiles(
        &self,
        _request: Request<SearchProfilesRequest>,
    ) -> Result<Response<SearchProfilesResponse>, Status> {
        Ok(Response::new(SearchProfilesResponse::default()))
    }
}

#[tonic::async_trait]
impl AccountService for Services {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        self.0.note(&request);
        Ok(Response::new(RegisterResponse {}))
    }

    async fn complete_registration(
        &self,
        _request: Request<CompleteRegistrationRequest>,
    ) -> Result<Response<CompleteRegistrationResponse>, Status> {
        Err(failure(
            Reason::MailTokenInvalid,
            "the token is not one of ours",
        ))
    }

    async fn get_account(
        &self,
        request: Request<GetAccountRequest>,
    ) -> Result<Response<GetAccountResponse>, Status> {
        self.0.note(&request);
        let account = Account {
            id: request.into_inner().account,
            ..Account::default()
        };
        Ok(Response::new(GetAccountResponse {
            account: Some(account),
        }))
    }

    async fn change_password(
        &self,
        _request: Request<ChangePasswordRequest>,
    ) -> Result<Response<ChangePasswordResponse>, Status> {
        Ok(Response::new(ChangePasswordResponse::default()))
    }

    async fn request_password_reset(
        &self,
        _request: Request<RequestPasswordResetRequest>,
    ) -> Result<Response<RequestPasswordResetResponse>, Status> {
        Ok(Response::new(RequestPasswordResetResponse::default()))
    }

    async fn reset_password(
        &self,
        _request: Request<ResetPasswordRequest>,
    ) -> Result<Response<ResetPasswordResponse>, Status> {
        Ok(Response::new(ResetPasswordResponse::default()))
    }

    async fn change_email(
        &self,
        _request: Request<ChangeEmailRequest>,
    ) -> Result<Response<ChangeEmailResponse>, Status> {
        Ok(Response::new(ChangeEmailResponse::default()))
    }

    async fn confirm_email(
        &self,
        _request: Request<ConfirmEmailRequest>,
    ) -> Result<Response<ConfirmEmailResponse>, Status> {
        Ok(Response::new(ConfirmEmailResponse::default()))
    }

    async fn delete_account(
        &self,
        _request: Request<DeleteAccountRequest>,
    ) -> Result<Response<DeleteAccountResponse>, Status> {
        Ok(Response::new(DeleteAccountResponse::default()))
    }

    type ExportAccountStream = futures::stream::Empty<Result<ExportAccountResponse, Status>>;

    async fn export_account(
        &self,
        _request: Request<ExportAccountRequest>,
    ) -> Result<Response<Self::ExportAccountStream>, Status> {
        Ok(Response::new(futures::stream::empty()))
    }
}

#[tonic::async_trait]
impl SessionService for Services {
    async fn login(
        &self,
        _request: Request<LoginRequest>,
    ) -> Result<Response<LoginResponse>, Status> {
        Err(failure(
            Reason::InvalidCredentials,
            "the e-mail address or the password is wrong",
        ))
    }

    async fn refresh_tokens(
        &self,
        _request: Request<RefreshTokensRequest>,
    ) -> Result<Response<RefreshTokensResponse>, Status> {
        Err(failure(
            Reason::InvalidRefreshToken,
            "the refresh token is not valid",
        ))
    }

    async fn logout(
        &self,
        request: Request<LogoutRequest>,
    ) -> Result<Response<LogoutResponse>, Status> {
        self.0.note(&request);
        Ok(Response::new(LogoutResponse {}))
    }

    async fn list_sessions(
        &self,
        _request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        Ok(Response::new(ListSessionsResponse::default()))
    }

    async fn revoke_session(
        &self,
        _request: Request<RevokeSessionRequest>,
    ) -> Result<Response<RevokeSessionResponse>, Status> {
        Ok(Response::new(RevokeSessionResponse::default()))
    }

    async fn revoke_all_sessions(
        &self,
        _request: Request<RevokeAllSessionsRequest>,
    ) -> Result<Response<RevokeAllSessionsResponse>, Status> {
        Ok(Response::new(RevokeAllSessionsResponse::default()))
    }

    async fn reauthenticate(
        &self,
        _request: Request<ReauthenticateRequest>,
    ) -> Result<Response<ReauthenticateResponse>, Status> {
        Ok(Response::new(ReauthenticateResponse::default()))
    }
}

#[tonic::async_trait]
impl AuditService for Services {
    async fn list_audit_records(
        &self,
        request: Request<ListAuditRecordsRequest>,
    ) -> Result<Response<ListAuditRecordsResponse>, Status> {
        self.0.note(&request);
        Ok(Response::new(ListAuditRecordsResponse::default()))
    }
}
