use grimoire_proto::auth::v1::GetAccountRequest;

use crate::kit::{Auth, on_behalf_of, reason, set};

fn get(account: &str) -> GetAccountRequest {
    GetAccountRequest {
        account: account.to_owned(),
    }
}

#[tokio::test]
async fn an_account_is_shown_to_its_owner_by_id_and_as_me() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in("ada@example.com").await;
    for name in ["me", &account.id] {
        let answer = auth
            .accounts
            .clone()
            .get_account(on_behalf_of(get(name), &account.id))
            .await
            .unwrap();
        assert_eq!(answer.into_inner().account.as_ref(), Some(&account));
    }
}

#[tokio::test]
async fn an_account_is_shown_to_an_admin_and_to_nobody_else() {
    let auth = Auth::start().await;
    let (ada, _) = auth.signed_in("ada@example.com").await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    let mut request = on_behalf_of(get(&ada.id), &eve.id);
    let refusal = auth
        .accounts
        .clone()
        .get_account(on_behalf_of(get(&ada.id), &eve.id))
        .await;
    assert_eq!(reason(refusal), "RESOURCE_NOT_FOUND");
    set(&mut request, "grimoire-roles", "admin");
    assert_eq!(
        auth.accounts
            .clone()
            .get_account(request)
            .await
            .unwrap()
            .into_inner()
            .account,
        Some(ada)
    );
    assert_eq!(
        reason(auth.accounts.clone().get_account(get("me")).await),
        "TOKEN_MISSING"
    );
}

#[tokio::test]
async fn an_account_that_does_not_exist_is_not_found() {
    let auth = Auth::start().await;
    let nobody = uuid::Uuid::now_v7().to_string();
    assert_eq!(
        reason(
            auth.accounts
                .clone()
                .get_account(on_behalf_of(get("me"), &nobody))
                .await
        ),
        "RESOURCE_NOT_FOUND"
    );
}
