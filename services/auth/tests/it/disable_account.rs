use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::AccountDisabled;
use prost::Message as _;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, as_admin, reason};

const EMAIL: &str = "ada@example.com";

impl Auth {
    pub(crate) async fn disable(
        &self,
        by: &Account,
        account: &str,
    ) -> Result<ManagedAccount, Status> {
        let message = DisableAccountRequest {
            account: account.to_owned(),
        };
        let answer = self
            .admin
            .clone()
            .disable_account(as_admin(message, by))
            .await;
        Ok(answer?.into_inner().account.unwrap())
    }
}

#[tokio::test]
async fn a_disabled_account_has_no_session_and_nobody_gets_in() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let first = auth.disable(&admin, &account.id).await.unwrap();
    let again = auth.disable(&admin, &account.id).await.unwrap();
    assert_eq!((first.state(), &first), (State::Disabled, &again));

    let refused = auth.login(EMAIL, PASSWORD).await;
    assert_eq!(reason(refused), "INVALID_CREDENTIALS");
    let refused = auth.refresh(&tokens.refresh_token).await;
    assert_eq!(reason(refused), "INVALID_REFRESH_TOKEN");
    let live = "select count(*) from sessions where ended_at is null";
    assert_eq!(auth.count(live).await, 1, "the administrator's");
    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("AccountDisabled", 3));
    let event = AccountDisabled::decode(&*event.payload).unwrap();
    assert_eq!(event.by_account_id, admin.id);
    let outdated = "select count(*) from revocations where min_version = 2";
    assert_eq!(auth.count(outdated).await, 2);
}

#[tokio::test]
async fn a_locked_account_can_be_disabled_and_its_sessions_end() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.lock(&admin, &account.id).await.unwrap();
    let disabled = auth.disable(&admin, &account.id).await.unwrap();
    assert_eq!(disabled.state(), State::Disabled);
    auth.unlock(&admin, &account.id).await.unwrap();
    assert!(!auth.is_live(&tokens).await);
}

#[tokio::test]
async fn no_session_is_left_of_sign_ins_that_come_at_the_same_time() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let logins = futures::future::join_all((0..8).map(|_| auth.login(EMAIL, PASSWORD)));
    let (_, disabled) = tokio::join!(logins, auth.disable(&admin, &account.id));
    disabled.unwrap();
    let live = "select count(*) from sessions where ended_at is null";
    assert_eq!(auth.count(live).await, 1, "the administrator's");
}

#[tokio::test]
async fn an_administrator_does_not_disable_themselves_nor_what_is_no_account() {
    let auth = Auth::start().await;
    let (admin, tokens) = auth.administrator("root@example.com").await;
    assert_eq!(reason(auth.disable(&admin, "me").await), "OWN_ACCOUNT");
    assert!(auth.is_live(&tokens).await);
    let nobody = uuid::Uuid::now_v7().to_string();
    let refused = auth.disable(&admin, &nobody).await;
    assert_eq!(reason(refused), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn who_is_no_administrator_ends_no_session() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    // As if her token showed a role that she has lost.
    let refused = auth.disable(&eve, &account.id).await;
    assert_eq!(reason(refused), "ROLE_REQUIRED");
    assert!(auth.is_live(&tokens).await);
}
