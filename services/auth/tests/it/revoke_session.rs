use grimoire_proto::auth::v1::*;
use tonic::Status;
use uuid::Uuid;

use crate::kit::{Auth, PASSWORD, on_behalf_of, reason, session_of};

const EMAIL: &str = "ada@example.com";

impl Auth {
    async fn revoke(&self, by: &str, account: &str, session: &str) -> Result<(), Status> {
        let message = RevokeSessionRequest {
            account: account.to_owned(),
            session: session.to_owned(),
        };
        let request = on_behalf_of(message, by);
        self.sessions
            .clone()
            .revoke_session(request)
            .await
            .map(drop)
    }

    pub(crate) async fn is_live(&self, tokens: &Tokens) -> bool {
        self.refresh(&tokens.refresh_token).await.is_ok()
    }
}

#[tokio::test]
async fn a_revoked_session_ends_once_and_alone() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let other = auth.login(EMAIL, PASSWORD).await.unwrap().tokens.unwrap();
    for _ in 0..2 {
        auth.revoke(&account.id, "me", &session_of(&other))
            .await
            .unwrap();
    }
    assert!(auth.is_live(&tokens).await && !auth.is_live(&other).await);
    let revoked = ("SessionRevoked".to_owned(), 4);
    assert_eq!(auth.history(&account.id).await.last(), Some(&revoked));
    assert_eq!(
        auth.count("select count(*) from revocations where session_id is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn anothers_session_and_one_that_never_was_are_not_found() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (stranger, _) = auth.signed_in("eve@example.com").await;
    let session = session_of(&tokens);
    let never = Uuid::now_v7().to_string();
    for (of, session) in [
        ("me", session.as_str()),
        (&account.id, &session),
        ("me", &never),
        ("me", "x"),
    ] {
        let refused = auth.revoke(&stranger.id, of, session).await;
        assert_eq!(reason(refused), "RESOURCE_NOT_FOUND", "{of} {session}");
    }
    assert!(auth.is_live(&tokens).await);
}
