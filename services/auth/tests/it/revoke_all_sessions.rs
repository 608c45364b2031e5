use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::SessionRevoked;
use prost::Message as _;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, on_behalf_of, reason, session_of, set};

const EMAIL: &str = "ada@example.com";

impl Auth {
    pub(crate) async fn revoke_all(
        &self,
        by: &str,
        session: &str,
        keep_current: bool,
    ) -> Result<(), Status> {
        let message = RevokeAllSessionsRequest {
            account: "me".to_owned(),
            keep_current,
        };
        let mut request = on_behalf_of(message, by);
        set(&mut request, "grimoire-session", session);
        self.sessions
            .clone()
            .revoke_all_sessions(request)
            .await
            .map(drop)
    }
}

#[tokio::test]
async fn all_sessions_end_by_one_event_and_one_entry_in_the_feed() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let others = [
        auth.login(EMAIL, PASSWORD).await,
        auth.login(EMAIL, PASSWORD).await,
    ];
    let others = others.map(|login| login.unwrap().tokens.unwrap());
    let own = session_of(&tokens);

    auth.revoke_all(&account.id, &own, true).await.unwrap();
    assert!(auth.is_live(&tokens).await);
    for other in &others {
        assert!(!auth.is_live(other).await);
    }
    let event = auth.events().await.pop().unwrap();
    let event = SessionRevoked::decode(event.payload.as_slice()).unwrap();
    assert_eq!(
        (event.session_id.as_str(), &event.kept_session_id),
        ("", &own)
    );
    assert_eq!(auth.count("select count(*) from revocations").await, 1);

    auth.revoke_all(&account.id, &own, true).await.unwrap();
    assert_eq!(
        auth.count("select count(*) from revocations").await,
        1,
        "nothing was left to end"
    );
    auth.revoke_all(&account.id, &own, false).await.unwrap();
    let tokens = auth.refresh(&tokens.refresh_token).await;
    assert_eq!(reason(tokens), "INVALID_REFRESH_TOKEN");
}
