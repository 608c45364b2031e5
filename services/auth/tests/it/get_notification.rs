use crate::kit::{Auth, identity, key, reason};

#[tokio::test]
async fn asking_again_gives_the_same_mail() {
    let auth = Auth::start().await;
    auth.register("ada@example.com").await.unwrap();
    let event = auth.events().await.pop().unwrap().id;
    let mail = auth.notification(event).await.unwrap();
    assert_eq!(auth.notification(event).await.unwrap(), mail);
    assert!(mail.token_expire_time.is_some());
}

#[tokio::test]
async fn a_used_an_expired_and_a_superseded_token_leave_nothing_to_tell() {
    let auth = Auth::start().await;
    let token = auth.mail_token("used@example.com").await;
    let used = auth.events().await.pop().unwrap().id;
    auth.complete(&token).await.unwrap();
    auth.register("ada@example.com").await.unwrap();
    let superseded = auth.events().await.pop().unwrap().id;
    auth.register("ada@example.com").await.unwrap();
    let last = auth.events().await.pop().unwrap().id;

    for event in [used, superseded] {
        assert_eq!(
            reason(auth.notification(event).await),
            "NOTIFICATION_OBSOLETE"
        );
    }
    auth.notification(last).await.unwrap();
    auth.execute("update notifications set expires_at = now()")
        .await;
    assert_eq!(
        reason(auth.notification(last).await),
        "NOTIFICATION_OBSOLETE"
    );
}

#[tokio::test]
async fn a_token_of_another_key_is_never_sent() {
    let auth = Auth::start().await;
    auth.register("ada@example.com").await.unwrap();
    let event = auth.events().await.pop().unwrap().id;
    let mut replaced = identity();
    replaced.mail_token_key = key(8).parse().unwrap();
    let replaced = Auth::over(auth.pool.clone(), replaced).await;
    assert_eq!(
        reason(replaced.notification(event).await),
        "NOTIFICATION_OBSOLETE"
    );
}

#[tokio::test]
async fn an_event_without_a_mail_is_not_found() {
    let auth = Auth::start().await;
    assert_eq!(
        reason(auth.notification(uuid::Uuid::now_v7()).await),
        "RESOURCE_NOT_FOUND"
    );
}
