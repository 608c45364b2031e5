use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::*;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::kit::{Auth, as_admin, on_behalf_of, reason};

impl Auth {
    async fn list(
        &self,
        by: &Account,
        email: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListAccountsResponse, Status> {
        let message = ListAccountsRequest {
            email: email.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let answer = self
            .admin
            .clone()
            .list_accounts(as_admin(message, by))
            .await;
        Ok(answer?.into_inner())
    }
}

#[tokio::test]
async fn accounts_are_listed_newest_first_without_gap_or_repeat() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    for name in ["a", "b", "c", "d"] {
        auth.signed_in(&format!("{name}@example.com")).await;
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = auth.list(&admin, "", 2, &token).await.unwrap();
        seen.extend(page.accounts.into_iter().map(|account| account.email));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen,
        ["d", "c", "b", "a", "root"].map(|name| format!("{name}@example.com"))
    );
}

#[tokio::test]
async fn an_account_shows_its_roles_and_whether_it_can_be_used() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (ada, _) = auth.signed_in("ada@example.com").await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    auth.lock(&admin, &ada.id).await.unwrap();
    auth.disable(&admin, &eve.id).await.unwrap();
    let listed = auth.list(&admin, "", 0, "").await.unwrap().accounts;
    let states: Vec<State> = listed.iter().map(ManagedAccount::state).collect();
    assert_eq!(states, [State::Disabled, State::Locked, State::Active]);
    assert_eq!(listed[2].roles, ["admin"]);
    assert_eq!(listed[1].create_time, ada.create_time);
    assert_ne!(listed[1].etag, ada.etag);
}

#[tokio::test]
async fn an_account_is_found_by_its_address_in_whatever_case() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (ada, _) = auth.signed_in("ada@example.com").await;
    let found = auth.list(&admin, " ADA@Example.com", 0, "").await.unwrap();
    assert_eq!(found.accounts.len(), 1);
    assert_eq!(found.accounts[0].id, ada.id);
    let nobody = auth.list(&admin, "nobody@example.com", 0, "").await;
    assert_eq!(nobody.unwrap(), ListAccountsResponse::default());

    let wrong = auth.list(&admin, "ada", 0, "").await.unwrap_err();
    let violations = wrong.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, "email");
    let first = auth.list(&admin, "", 1, "").await.unwrap();
    let other = auth
        .list(&admin, "ada@example.com", 1, &first.next_page_token)
        .await;
    assert_eq!(reason(other), "INVALID_PAGE_TOKEN");
}

#[tokio::test]
async fn who_is_no_administrator_sees_nobody() {
    let auth = Auth::start().await;
    let (ada, _) = auth.signed_in("ada@example.com").await;
    let request = on_behalf_of(ListAccountsRequest::default(), &ada.id);
    let refused = auth.admin.clone().list_accounts(request).await;
    assert_eq!(reason(refused), "ROLE_REQUIRED");
    let refused = auth
        .admin
        .clone()
        .list_accounts(ListAccountsRequest::default())
        .await;
    assert_eq!(reason(refused), "TOKEN_MISSING");
}
