use grimoire_proto::auth::v1::*;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, claims, on_behalf_of, reason, session_of, set};

const EMAIL: &str = "ada@example.com";

impl Auth {
    async fn reauthenticate(
        &self,
        account: &str,
        session: Option<&str>,
        password: &str,
    ) -> Result<Tokens, Status> {
        let message = ReauthenticateRequest {
            password: password.to_owned(),
        };
        let mut request = on_behalf_of(message, account);
        set(&mut request, "grimoire-client-address", "203.0.113.9");
        if let Some(session) = session {
            set(&mut request, "grimoire-session", session);
        }
        let answer = self.sessions.clone().reauthenticate(request).await?;
        Ok(answer.into_inner().tokens.unwrap())
    }
}

#[tokio::test]
async fn the_password_renews_the_time_of_proof_of_the_same_session() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.execute("update sessions set auth_time = now() - interval '1 day'")
        .await;
    let session = session_of(&tokens);
    let stale = auth.refresh(&tokens.refresh_token).await.unwrap();
    let again = auth
        .reauthenticate(&account.id, Some(&session), PASSWORD)
        .await
        .unwrap();
    assert_eq!(session_of(&again), session);
    let age = claims(&again)["auth_time"].as_i64().unwrap()
        - claims(&stale)["auth_time"].as_i64().unwrap();
    assert!(age >= 86_400, "{age}");
    assert_eq!(
        again.refresh_token, stale.refresh_token,
        "nothing was rotated"
    );
    let refreshed = auth.refresh(&again.refresh_token).await.unwrap();
    assert_eq!(claims(&refreshed)["auth_time"], claims(&again)["auth_time"]);
}

#[tokio::test]
async fn a_wrong_password_proves_nothing_and_counts_as_a_failed_login() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let session = session_of(&tokens);
    for _ in 0..12 {
        let wrong = auth
            .reauthenticate(&account.id, Some(&session), "seven lazy herons")
            .await;
        assert_eq!(reason(wrong), "INVALID_CREDENTIALS");
    }
    assert_eq!(
        auth.count("select failures::bigint from address_state")
            .await,
        10
    );
    let locked = auth
        .reauthenticate(&account.id, Some(&session), PASSWORD)
        .await;
    assert_eq!(reason(locked), "INVALID_CREDENTIALS");
    auth.refresh(&tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_session_that_has_ended_or_is_another_accounts_is_not_renewed() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (_, strange) = auth.signed_in("eve@example.com").await;
    let session = session_of(&tokens);
    auth.logout(Some(&session), "").await.unwrap();
    for session in [
        Some(session.as_str()),
        Some(session_of(&strange).as_str()),
        None,
    ] {
        let late = auth.reauthenticate(&account.id, session, PASSWORD).await;
        assert_eq!(reason(late), "TOKEN_REVOKED");
    }
}
