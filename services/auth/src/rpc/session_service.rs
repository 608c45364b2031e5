//! SessionService: each call is one function in a file of its name.

use std::sync::Arc;

use chassis::caller::Caller;
use grimoire_proto::auth::v1::session_service_server::SessionService;
use grimoire_proto::auth::v1::*;
use outbox::Wake;
use sqlx::PgPool;
use telemetry::prometheus::IntCounterVec;
use tonic::{Request, Response, Status, async_trait};

use super::{
    list_sessions, login, logout, reauthenticate, refresh_tokens, revoke_all_sessions,
    revoke_session,
};
use crate::client::Client;
use crate::email::Pseudonyms;
use crate::password::Passwords;
use crate::tokens::TokenIssuer;
use crate::trust::Trust;

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
