use grimoire_proto::auth::v1::NotificationKind;

use crate::kit::{Auth, claims, identity, key, reason, session_of};

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session_and_keeps_the_time_of_signing_in() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth.execute("update sessions set auth_time = '2026-01-01 00:00+00'")
        .await;
    let refreshed = auth.refresh(&tokens.refresh_token).await.unwrap();
    assert_ne!(refreshed.refresh_token, tokens.refresh_token);
    assert_eq!(session_of(&refreshed), session_of(&tokens));
    assert_eq!(claims(&refreshed)["auth_time"], 1_767_225_600);
    auth.refresh(&refreshed.refresh_token).await.unwrap();
}

#[tokio::test]
async fn parallel_tabs_all_get_the_same_new_token() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    let answers =
        futures::future::join_all((0..8).map(|_| auth.refresh(&tokens.refresh_token))).await;
    let mut new: Vec<String> = answers
        .into_iter()
        .map(|answer| answer.unwrap().refresh_token)
        .collect();
    new.dedup();
    assert_eq!(new.len(), 1);
    auth.refresh(&new[0]).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_survived_after_the_grace_too() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    let lost = auth.refresh(&tokens.refresh_token).await.unwrap();
    auth.execute("update sessions set rotated_at = now() - interval '31 seconds'")
        .await;
    let answered = auth.refresh(&tokens.refresh_token).await.unwrap();
    assert_ne!(answered.refresh_token, lost.refresh_token);
    auth.refresh(&answered.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_token_that_was_replaced_long_ago_ends_the_session_and_tells_the_owner() {
    let auth = Auth::start().await;
    let (account, stolen) = auth.signed_in("ada@example.com").await;
    let second = auth.refresh(&stolen.refresh_token).await.unwrap();
    let third = auth.refresh(&second.refresh_token).await.unwrap();

    let (one, other) = tokio::join!(
        auth.refresh(&stolen.refresh_token),
        auth.refresh(&stolen.refresh_token)
    );
    assert_eq!(
        [reason(one), reason(other)],
        ["INVALID_REFRESH_TOKEN", "INVALID_REFRESH_TOKEN"]
    );
    assert_eq!(
        reason(auth.refresh(&third.refresh_token).await),
        "INVALID_REFRESH_TOKEN"
    );

    let history = auth.history(&account.id).await;
    assert_eq!(
        history.last(),
        Some(&("RefreshReuseDetected".to_owned(), 3)),
        "once: {history:?}"
    );
    let mail = auth
        .notification(auth.events().await.pop().unwrap().id)
        .await
        .unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str()),
        (NotificationKind::RefreshReuse, "ada@example.com")
    );
    assert_eq!(
        auth.count("select count(*) from revocations where session_id is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn a_forged_token_is_refused_and_revokes_nothing() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    let forged = tokens.refresh_token.replacen(".1.", ".9.", 1);
    for token in ["", "v1.1.x.1.y", "abc", forged.as_str()] {
        assert_eq!(
            reason(auth.refresh(token).await),
            "INVALID_REFRESH_TOKEN",
            "{token}"
        );
    }
    auth.refresh(&tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_when_it_lay_idle_or_has_lasted_too_long() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth.execute("update sessions set absolute_expires_at = now() + interval '1 day'")
        .await;
    let refreshed = auth.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(
        auth.count("select count(*) from sessions where refresh_expires_at = absolute_expires_at")
            .await,
        1
    );
    auth.execute("update sessions set refresh_expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(
        reason(auth.refresh(&refreshed.refresh_token).await),
        "INVALID_REFRESH_TOKEN"
    );
}

#[tokio::test]
async fn no_access_token_outlives_its_session() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth.execute("update sessions set absolute_expires_at = now() + interval '90 seconds'")
        .await;
    let refreshed = auth.refresh(&tokens.refresh_token).await.unwrap();
    let expires = claims(&refreshed)["exp"].as_i64().unwrap();
    assert_eq!(refreshed.expire_time.unwrap().seconds, expires);
    assert_eq!(refreshed.refresh_expire_time.unwrap().seconds, expires);
}

#[tokio::test]
async fn a_refresh_that_others_overtake_again_and_again_may_be_tried_again() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    // As if each compare-and-set came too late.
    auth.execute(
        "create function overtaken() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger overtaken before update on sessions for each row execute function overtaken()",
    )
    .await;
    assert_eq!(
        reason(auth.refresh(&tokens.refresh_token).await),
        "UNAVAILABLE"
    );
    auth.execute("drop trigger overtaken on sessions").await;
    auth.refresh(&tokens.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_disabled_account_is_refreshed_no_more() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth.execute("update accounts set disabled_at = now()")
        .await;
    assert_eq!(
        reason(auth.refresh(&tokens.refresh_token).await),
        "INVALID_REFRESH_TOKEN"
    );
}

#[tokio::test]
async fn a_replaced_key_of_refresh_tokens_is_good_until_its_sessions_have_moved_on() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    let mut replaced = identity();
    replaced.refresh_token_key = format!("new:{},1:{}", key(9), key(2)).parse().unwrap();
    let replaced = Auth::over(auth.pool.clone(), replaced).await;
    let moved = replaced.refresh(&tokens.refresh_token).await.unwrap();
    assert!(
        moved.refresh_token.starts_with("v1.new."),
        "{}",
        moved.refresh_token
    );
    assert_eq!(
        replaced
            .count("select count(*) from sessions where refresh_kid = 'new'")
            .await,
        1
    );
    replaced.refresh(&moved.refresh_token).await.unwrap();
}

#[tokio::test]
async fn a_refresh_shows_roles_that_were_given_meanwhile() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth::grant_role(&auth.pool, "ada@example.com", "admin")
        .await
        .unwrap();
    let refreshed = auth.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(claims(&refreshed)["roles"], serde_json::json!(["admin"]));
    assert_eq!(claims(&refreshed)["ver"], 2);
}
