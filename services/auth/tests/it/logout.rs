use crate::kit::{Auth, reason, session_of};

#[tokio::test]
async fn a_logout_by_access_token_ends_the_session_once() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("ada@example.com").await;
    let session = session_of(&tokens);
    for _ in 0..2 {
        auth.logout(Some(&session), "").await.unwrap();
    }
    assert_eq!(
        reason(auth.refresh(&tokens.refresh_token).await),
        "INVALID_REFRESH_TOKEN"
    );
    let history = auth.history(&account.id).await;
    assert_eq!(
        history.last(),
        Some(&("LoggedOut".to_owned(), 3)),
        "{history:?}"
    );
    assert_eq!(auth.count("select count(*) from revocations").await, 1);
}

#[tokio::test]
async fn a_refresh_token_however_old_ends_its_session_too() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("ada@example.com").await;
    let newer = auth.refresh(&tokens.refresh_token).await.unwrap();
    auth.refresh(&newer.refresh_token).await.unwrap();
    auth.logout(None, &tokens.refresh_token).await.unwrap();
    auth.logout(None, &tokens.refresh_token).await.unwrap();
    assert_eq!(
        auth.history(&account.id).await.last(),
        Some(&("LoggedOut".to_owned(), 3))
    );
}

#[tokio::test]
async fn a_logout_without_proof_is_refused() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    assert_eq!(reason(auth.logout(None, "").await), "TOKEN_MISSING");
    let forged = tokens.refresh_token.replacen(".1.", ".2.", 1);
    for token in ["nonsense", forged.as_str()] {
        assert_eq!(
            reason(auth.logout(None, token).await),
            "INVALID_REFRESH_TOKEN"
        );
    }
    auth.refresh(&tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_logout_after_the_refresh_token_has_expired_revokes_what_is_left_of_the_session() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("ada@example.com").await;
    auth.execute("update sessions set refresh_expires_at = now() - interval '1 second'")
        .await;
    for _ in 0..2 {
        auth.logout(None, &tokens.refresh_token).await.unwrap();
    }
    let history = auth.history(&account.id).await;
    assert_eq!(history.last(), Some(&("LoggedOut".to_owned(), 3)));
    assert_eq!(auth.count("select count(*) from revocations").await, 1);
}

#[tokio::test]
async fn a_logout_beside_logins_and_refreshes_leaves_versions_contiguous() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("ada@example.com").await;
    let session = session_of(&tokens);
    let (out, login, refresh, again) = tokio::join!(
        auth.logout(Some(&session), ""),
        auth.login("ada@example.com", crate::kit::PASSWORD),
        auth.refresh(&tokens.refresh_token),
        auth.logout(Some(&session), ""),
    );
    out.unwrap();
    again.unwrap();
    login.unwrap();
    // The refresh came before the end of the session, or after it.
    if refresh.is_err() {
        assert_eq!(reason(refresh), "INVALID_REFRESH_TOKEN");
    }
    assert_eq!(
        reason(auth.refresh(&tokens.refresh_token).await),
        "INVALID_REFRESH_TOKEN"
    );
    let versions: Vec<i64> = auth
        .history(&account.id)
        .await
        .into_iter()
        .map(|(_, version)| version)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}
