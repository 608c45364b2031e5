use grimoire_proto::auth::v1::*;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::kit::{Auth, PASSWORD, claims, on_behalf_of, reason, session_of, set};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "nine quiet otters swim";

impl Auth {
    pub(crate) async fn change(
        &self,
        account: &str,
        session: &str,
        of: &str,
        password: &str,
    ) -> Result<Tokens, Status> {
        let message = ChangePasswordRequest {
            account: of.to_owned(),
            new_password: password.to_owned(),
        };
        let mut request = on_behalf_of(message, account);
        set(&mut request, "grimoire-session", session);
        just_proven(&mut request);
        let answer = self.accounts.clone().change_password(request).await?;
        Ok(answer.into_inner().tokens.unwrap())
    }
}

pub(crate) fn just_proven<T>(request: &mut Request<T>) {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    set(request, "grimoire-auth-time", &now.to_string());
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_outdates_older_tokens() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let other = auth.login(EMAIL, PASSWORD).await.unwrap().tokens.unwrap();
    let own = session_of(&tokens);

    let renewed = auth.change(&account.id, &own, "me", NEW).await.unwrap();
    assert_eq!(session_of(&renewed), own);
    assert!(claims(&renewed)["ver"].as_i64() > claims(&tokens)["ver"].as_i64());
    assert_eq!(renewed.refresh_token, tokens.refresh_token);
    auth.refresh(&renewed.refresh_token).await.unwrap();
    let ended = auth.refresh(&other.refresh_token).await;
    assert_eq!(reason(ended), "INVALID_REFRESH_TOKEN");

    let old = auth.login(EMAIL, PASSWORD).await;
    assert_eq!(reason(old), "INVALID_CREDENTIALS");
    auth.login(EMAIL, NEW).await.unwrap();
    let event = auth
        .events()
        .await
        .into_iter()
        .find(|event| event.kind == "PasswordChanged");
    let mail = auth.notification(event.unwrap().id).await.unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str()),
        (NotificationKind::PasswordChanged, EMAIL)
    );
    let least = "select min_version from revocations where account_id is not null";
    assert_eq!(
        Some(auth.count(least).await),
        claims(&renewed)["ver"].as_i64()
    );
}

#[tokio::test]
async fn a_password_is_changed_by_its_owner_who_has_just_proven_who_it_is_and_by_nobody_else() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (stranger, strange) = auth.signed_in("eve@example.com").await;
    let other = auth
        .change(&stranger.id, &session_of(&strange), &account.id, NEW)
        .await;
    assert_eq!(reason(other), "RESOURCE_NOT_FOUND");

    let message = ChangePasswordRequest {
        account: account.id.clone(),
        new_password: NEW.to_owned(),
    };
    let mut request = on_behalf_of(message, &stranger.id);
    set(&mut request, "grimoire-roles", "admin");
    set(&mut request, "grimoire-session", &session_of(&strange));
    just_proven(&mut request);
    let admin = auth.accounts.clone().change_password(request).await;
    assert_eq!(reason(admin), "RESOURCE_NOT_FOUND");

    let message = ChangePasswordRequest {
        account: "me".to_owned(),
        new_password: NEW.to_owned(),
    };
    let mut request = on_behalf_of(message, &account.id);
    set(&mut request, "grimoire-session", &session_of(&tokens));
    set(&mut request, "grimoire-auth-time", "1000000000");
    let stale = auth.accounts.clone().change_password(request).await;
    assert_eq!(reason(stale), "RECENT_LOGIN_REQUIRED");
    auth.login(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_new_password_must_not_be_weak_and_the_field_is_named() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let session = session_of(&tokens);
    for weak in ["short", "password1", "ada@example.com"] {
        let status = auth
            .change(&account.id, &session, "me", weak)
            .await
            .unwrap_err();
        let details = status.get_error_details();
        let field = &details.bad_request().unwrap().field_violations[0].field;
        assert_eq!(field, "new_password", "{weak}");
        assert_eq!(details.error_info().unwrap().reason, "WEAK_PASSWORD");
    }
}

#[tokio::test]
async fn a_session_that_has_ended_changes_no_password() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let session = session_of(&tokens);
    auth.logout(Some(&session), "").await.unwrap();
    let late = auth.change(&account.id, &session, "me", NEW).await;
    assert_eq!(reason(late), "TOKEN_REVOKED");
    auth.login(EMAIL, PASSWORD).await.unwrap();
}
