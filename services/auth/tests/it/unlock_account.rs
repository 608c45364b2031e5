use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::*;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, as_admin, claims, reason};

const EMAIL: &str = "ada@example.com";

impl Auth {
    pub(crate) async fn unlock(
        &self,
        by: &Account,
        account: &str,
    ) -> Result<ManagedAccount, Status> {
        let message = UnlockAccountRequest {
            account: account.to_owned(),
        };
        let answer = self
            .admin
            .clone()
            .unlock_account(as_admin(message, by))
            .await;
        Ok(answer?.into_inner().account.unwrap())
    }
}

#[tokio::test]
async fn after_a_lock_sessions_go_on_with_newer_tokens() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.lock(&admin, &account.id).await.unwrap();
    for _ in 0..2 {
        let unlocked = auth.unlock(&admin, &account.id).await.unwrap();
        assert_eq!(unlocked.state(), State::Active);
    }
    let again = auth.refresh(&tokens.refresh_token).await.unwrap();
    assert!(claims(&again)["ver"].as_i64() > claims(&tokens)["ver"].as_i64());
    auth.login(EMAIL, PASSWORD).await.unwrap();
    let history = auth.history(&account.id).await;
    let kinds: Vec<&str> = history.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds[2..],
        ["AccountLocked", "AccountUnlocked", "LoggedIn"],
        "the second time nothing happens"
    );
}

#[tokio::test]
async fn a_disabled_account_can_be_used_again_and_its_owner_signs_in_anew() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.disable(&admin, &account.id).await.unwrap();
    auth.unlock(&admin, &account.id).await.unwrap();
    let ended = auth.refresh(&tokens.refresh_token).await;
    assert_eq!(reason(ended), "INVALID_REFRESH_TOKEN");
    auth.login(EMAIL, PASSWORD).await.unwrap();
}
