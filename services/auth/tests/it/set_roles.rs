use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::RolesChanged;
use prost::Message as _;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::kit::{Auth, as_admin, claims, reason};

const EMAIL: &str = "ada@example.com";

impl Auth {
    pub(crate) async fn set_roles(
        &self,
        by: &Account,
        account: &str,
        roles: &[&str],
        etag: &str,
    ) -> Result<ManagedAccount, Status> {
        let message = SetRolesRequest {
            account: account.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            etag: etag.to_owned(),
        };
        let answer = self.admin.clone().set_roles(as_admin(message, by)).await;
        Ok(answer?.into_inner().account.unwrap())
    }
}

#[tokio::test]
async fn an_account_has_exactly_the_roles_that_were_set_and_older_tokens_are_outdated() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let set = auth
        .set_roles(&admin, &account.id, &["editor", "admin", "editor"], "")
        .await
        .unwrap();
    assert_eq!(set.roles, ["admin", "editor"]);
    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("RolesChanged", 3));
    let expected = RolesChanged {
        account_id: account.id.clone(),
        roles: set.roles.clone(),
        by_account_id: admin.id.clone(),
    };
    assert_eq!(RolesChanged::decode(&*event.payload).unwrap(), expected);
    let outdated = "select count(*) from revocations where min_version = 2";
    assert_eq!(auth.count(outdated).await, 2);

    let refreshed = auth.refresh(&tokens.refresh_token).await.unwrap();
    assert_eq!(
        claims(&refreshed)["roles"],
        serde_json::json!(["admin", "editor"])
    );
    let none = auth.set_roles(&admin, &account.id, &[], "").await.unwrap();
    assert_eq!(none.roles, [""; 0]);
}

#[tokio::test]
async fn roles_that_the_account_has_change_nothing() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let roles = ["editor", "author"];
    let first = auth.set_roles(&admin, &account.id, &roles, &account.etag);
    let first = first.await.unwrap();
    // As the gateway does when an answer was lost.
    let again = auth.set_roles(&admin, &account.id, &roles, &account.etag);
    assert_eq!(again.await.unwrap(), first);
    assert_eq!(auth.history(&account.id).await.len(), 3);
}

#[tokio::test]
async fn a_stale_etag_changes_nothing() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    auth.set_roles(&admin, &account.id, &["editor"], &account.etag)
        .await
        .unwrap();
    let stale = auth.set_roles(&admin, &account.id, &["author"], &account.etag);
    assert_eq!(reason(stale.await), "ETAG_MISMATCH");
}

#[tokio::test]
async fn what_is_no_role_is_refused_and_named() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let wrong = auth
        .set_roles(&admin, &account.id, &["editor", "Admin,x"], "")
        .await
        .unwrap_err();
    let violations = wrong.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "roles[1]");
}

#[tokio::test]
async fn an_administrator_keeps_the_own_role_and_may_take_others() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let demoted = auth.set_roles(&admin, "me", &["editor"], "").await;
    assert_eq!(reason(demoted), "OWN_ACCOUNT");
    let more = auth.set_roles(&admin, "me", &["admin", "editor"], "").await;
    assert_eq!(more.unwrap().roles, ["admin", "editor"]);
}

#[tokio::test]
async fn of_two_administrators_who_demote_each_other_at_once_one_stays() {
    let auth = Auth::start().await;
    let (one, _) = auth.administrator("one@example.com").await;
    let (other, _) = auth.administrator("other@example.com").await;
    let (first, second) = tokio::join!(
        auth.set_roles(&one, &other.id, &[], ""),
        auth.set_roles(&other, &one.id, &[], "")
    );
    assert_ne!(first.is_ok(), second.is_ok());
    let loser = if first.is_ok() { second } else { first };
    assert_eq!(reason(loser), "ROLE_REQUIRED");
    let left = "select count(*) from accounts where 'admin' = any (roles)";
    assert_eq!(auth.count(left).await, 1);
}
