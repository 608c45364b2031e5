use auth::{Command, CommandError, DatabaseConfig, create_account, grant_role, reapply_erasures};
use grimoire_proto::events::v1::RolesChanged;
use outbox::OutboxCommand;
use prost::Message as _;

use crate::kit::{Auth, PASSWORD, cheap_passwords, database, identity, reason};

#[tokio::test]
async fn a_made_account_can_sign_in_and_is_announced() {
    let auth = Auth::start().await;
    let id = create_account(
        &auth.pool,
        &cheap_passwords(),
        "ada@example.com",
        " Ada ",
        PASSWORD.to_owned(),
    )
    .await
    .unwrap();
    assert_eq!(
        auth.history(&id.to_string()).await,
        [("AccountRegistered".to_owned(), 1)]
    );
    auth.login("ada@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_address_gets_one_account() {
    let auth = Auth::start().await;
    let passwords = cheap_passwords();
    create_account(
        &auth.pool,
        &passwords,
        "ada@example.com",
        "",
        PASSWORD.to_owned(),
    )
    .await
    .unwrap();
    let refusal = create_account(
        &auth.pool,
        &passwords,
        "ADA@example.com",
        "",
        PASSWORD.to_owned(),
    )
    .await
    .unwrap_err();
    assert!(matches!(refusal, CommandError::Exists(_)), "{refusal}");
    assert_eq!(
        refusal.to_string(),
        "ADA@example.com has an account already"
    );
}

#[tokio::test]
async fn wrong_addresses_and_weak_passwords_are_refused() {
    let auth = Auth::start().await;
    let refusal = create_account(
        &auth.pool,
        &cheap_passwords(),
        "ada",
        "",
        PASSWORD.to_owned(),
    )
    .await
    .unwrap_err();
    assert_eq!(refusal.to_string(), "email has no @");
    let refusal = create_account(
        &auth.pool,
        &cheap_passwords(),
        "a@example.com",
        "",
        "password".to_owned(),
    )
    .await
    .unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("the password is too weak: "),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_role_is_given_once_and_outdates_older_tokens() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in("ada@example.com").await;
    assert!(
        grant_role(&auth.pool, "ADA@example.com", "admin")
            .await
            .unwrap()
    );
    assert!(
        !grant_role(&auth.pool, "ada@example.com", "admin")
            .await
            .unwrap()
    );

    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("RolesChanged", 3));
    assert_eq!(
        RolesChanged::decode(&*event.payload).unwrap().roles,
        ["admin"]
    );
    assert_eq!(auth.history(&account.id).await.len(), 3);
    assert_eq!(auth.count("select min_version from revocations").await, 2);
}

#[tokio::test]
async fn roles_go_to_accounts_that_exist_and_have_names() {
    let auth = Auth::start().await;
    assert!(matches!(
        grant_role(&auth.pool, "ada@example.com", "admin").await,
        Err(CommandError::Unknown(_))
    ));
    assert!(matches!(
        grant_role(&auth.pool, "ada@example.com", "Admin,x").await,
        Err(CommandError::Argument(_))
    ));
}

#[tokio::test]
async fn after_a_restore_deleted_accounts_are_erased_by_all_once_more() {
    let auth = Auth::start().await;
    let mut deleted = Vec::new();
    for email in ["ada@example.com", "eve@example.com"] {
        let (account, tokens) = auth.signed_in(email).await;
        auth.delete(&account, &tokens).await.unwrap();
        deleted.push(account.id);
    }
    auth.signed_in("alive@example.com").await;
    for service in ["mail", "user", "event-consumer"] {
        auth.receipt(&deleted[0], service).await.unwrap();
    }
    assert_eq!(reapply_erasures(&auth.pool, &[]).await.unwrap(), 2);

    let erased = "select count(*) from accounts where erased_at is not null";
    assert_eq!(auth.count(erased).await, 0);
    let again = auth.history(&deleted[0]).await.pop().unwrap();
    assert_eq!(again, ("AccountDeleted".to_owned(), 5));
    // Its last mail has left.
    let event = auth
        .events()
        .await
        .into_iter()
        .rfind(|event| event.key == deleted[0]);
    let mail = auth.notification(event.unwrap().id).await;
    assert_eq!(reason(mail), "RESOURCE_NOT_FOUND");
    for service in ["user", "event-consumer"] {
        auth.receipt(&deleted[0], service).await.unwrap();
    }
    let again = auth.history(&deleted[0]).await.pop().unwrap();
    assert_eq!(again, ("ErasureCompleted".to_owned(), 6));
    assert_eq!(auth.count(erased).await, 1);
}

#[tokio::test]
async fn an_account_that_a_restored_database_takes_for_alive_is_deleted_again() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("ada@example.com").await;
    let ids = [account.id.parse().unwrap(), uuid::Uuid::now_v7()];
    assert_eq!(reapply_erasures(&auth.pool, &ids).await.unwrap(), 1);

    let refused = auth.refresh(&tokens.refresh_token).await;
    assert_eq!(reason(refused), "INVALID_REFRESH_TOKEN");
    assert_eq!(auth.count("select min_version from revocations").await, 2);
    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("AccountDeleted", 3));
    let mail = auth.notification(event.id).await.unwrap();
    assert_eq!(mail.address, "ada@example.com");
}

#[tokio::test]
async fn after_a_restore_the_keys_are_newer_than_any_that_a_gateway_has_seen() {
    let database = database().await;
    let auth = Auth::over(database.pool.clone(), identity()).await;
    let before = auth.count("select generation from key_set").await;
    for _ in 0..2 {
        let rebase = OutboxCommand::Rebase(DatabaseConfig {
            database_url: database.url.parse().unwrap(),
        });
        Command::Outbox(rebase).run().await.unwrap();
    }
    let after = auth.count("select generation from key_set").await;
    // Above each count that began at nothing, however many keys were made since the backup.
    assert!(after > before + 1_000_000_000, "{before} {after}");
}
