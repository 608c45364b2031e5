use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::AccountLocked;
use prost::Message as _;
use tonic::Status;
use uuid::Uuid;

use crate::kit::{Auth, PASSWORD, as_admin, on_behalf_of, reason};

const EMAIL: &str = "ada@example.com";

impl Auth {
    pub(crate) async fn lock(&self, by: &Account, account: &str) -> Result<ManagedAccount, Status> {
        let message = LockAccountRequest {
            account: account.to_owned(),
        };
        let answer = self.admin.clone().lock_account(as_admin(message, by)).await;
        Ok(answer?.into_inner().account.unwrap())
    }
}

#[tokio::test]
async fn nobody_gets_into_a_locked_account_and_it_reads_like_a_wrong_password() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let locked = auth.lock(&admin, &account.id).await.unwrap();
    assert_eq!(locked.state(), State::Locked);

    let wrong = auth.login("root@example.com", "not the password").await;
    let refused = auth.login(EMAIL, PASSWORD).await.unwrap_err();
    assert_eq!(refused.message(), wrong.as_ref().unwrap_err().message());
    assert_eq!(reason(wrong), "INVALID_CREDENTIALS");
    assert_eq!(reason::<()>(Err(refused)), "INVALID_CREDENTIALS");
    let refreshed = auth.refresh(&tokens.refresh_token).await;
    assert_eq!(reason(refreshed), "INVALID_REFRESH_TOKEN");
    // They cost the same, too.
    let counted = "select count(*) from address_state where failures = 1";
    assert_eq!(auth.count(counted).await, 2);
}

#[tokio::test]
async fn a_lock_outdates_tokens_once_and_says_who_locked() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let first = auth.lock(&admin, &account.id).await.unwrap();
    let again = auth.lock(&admin, &account.id).await.unwrap();
    assert_eq!(first, again);
    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("AccountLocked", 3));
    let event = AccountLocked::decode(&*event.payload).unwrap();
    assert_eq!(
        (event.account_id, event.by_account_id),
        (account.id, admin.id)
    );
    let outdated = "select count(*) from revocations where min_version = 2";
    // The other one is of the administrator's role.
    assert_eq!(auth.count(outdated).await, 2);
    let ended = "select count(*) from sessions where ended_at is not null";
    assert_eq!(auth.count(ended).await, 0);
}

#[tokio::test]
async fn a_disabled_account_stays_disabled() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    auth.disable(&admin, &account.id).await.unwrap();
    let state = auth.lock(&admin, &account.id).await.unwrap().state();
    assert_eq!(state, State::Disabled);
}

#[tokio::test]
async fn an_administrator_does_not_lock_themselves() {
    let auth = Auth::start().await;
    let (admin, tokens) = auth.administrator("root@example.com").await;
    for own in ["me", &admin.id] {
        assert_eq!(reason(auth.lock(&admin, own).await), "OWN_ACCOUNT");
    }
    assert!(auth.is_live(&tokens).await);
}

#[tokio::test]
async fn an_account_that_is_none_is_not_found() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    for none in ["", "ada", &Uuid::now_v7().to_string()] {
        let refused = auth.lock(&admin, none).await;
        assert_eq!(reason(refused), "RESOURCE_NOT_FOUND", "{none}");
    }
}

#[tokio::test]
async fn the_account_of_the_caller_decides_and_not_an_older_token() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (other, _) = auth.administrator("other@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    // Their tokens still show the role.
    auth.set_roles(&admin, &other.id, &[], "").await.unwrap();
    let demoted = auth.lock(&other, &account.id).await;
    assert_eq!(reason(demoted), "ROLE_REQUIRED");
    auth.set_roles(&admin, &other.id, &["admin"], "")
        .await
        .unwrap();
    auth.lock(&admin, &other.id).await.unwrap();
    let locked = auth.lock(&other, &account.id).await;
    assert_eq!(reason(locked), "ROLE_REQUIRED");

    let message = LockAccountRequest {
        account: account.id.clone(),
    };
    let request = on_behalf_of(message, &account.id);
    let refused = auth.admin.clone().lock_account(request).await;
    assert_eq!(reason(refused), "ROLE_REQUIRED");
}
