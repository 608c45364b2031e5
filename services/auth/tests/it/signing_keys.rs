use tokio_util::sync::CancellationToken;

use crate::kit::{Auth, database, identity, key, nobody, unheard};

#[tokio::test]
async fn an_empty_database_gets_one_active_key_and_a_pending_one_however_many_replicas_start() {
    let database = database().await;
    let replicas = (0..4).map(|_| Auth::over(database.pool.clone(), identity()));
    let replicas = futures::future::join_all(replicas).await;
    assert_eq!(
        replicas[0]
            .count("select count(*) from signing_keys where state = 'active'")
            .await,
        1
    );
    assert_eq!(
        replicas[0]
            .count("select count(*) from signing_keys where state = 'pending'")
            .await,
        1
    );
    assert_eq!(replicas[0].count("select generation from key_set").await, 1);
}

#[tokio::test]
async fn a_missing_pending_key_is_made_at_the_next_start_as_a_new_generation() {
    let auth = Auth::start().await;
    auth.execute("delete from signing_keys where state = 'pending'")
        .await;
    Auth::over(auth.pool.clone(), identity()).await;
    assert_eq!(
        auth.count("select generation from signing_keys where state = 'pending'")
            .await,
        2
    );
}

#[tokio::test]
async fn the_wrong_key_encryption_key_ends_the_start_with_its_name() {
    let auth = Auth::start().await;
    for wrong in [key(7), format!("other:{}", key(1))] {
        let mut config = identity();
        config.key_encryption_key = wrong.parse().unwrap();
        let refusal = auth::services_over(
            auth.pool.clone(),
            unheard(),
            nobody(),
            &config,
            CancellationToken::new(),
        )
        .await;
        let sentence = refusal.err().unwrap().to_string();
        assert!(
            sentence.contains("GRIMOIRE_KEY_ENCRYPTION_KEY"),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn private_keys_are_not_readable_in_the_database() {
    let auth = Auth::start().await;
    // The identifier of the curve P-256, which every open key of it holds.
    let open = "select count(*) from signing_keys where position('\\x2a8648ce3d030107'::bytea in sealed) > 0";
    assert_eq!(auth.count(open).await, 0);
}
