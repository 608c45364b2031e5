use grimoire_proto::auth::v1::{AccountState, LookupAccountsRequest};

use crate::kit::{Auth, reason};

#[tokio::test]
async fn accounts_are_told_with_name_and_state_and_unknown_ones_are_left_out() {
    let auth = Auth::start().await;
    let (ada, _) = auth.signed_in("ada@example.com").await;
    let (bob, _) = auth.signed_in("bob@example.com").await;
    auth.execute("update accounts set disabled_at = now() where email = 'bob@example.com'")
        .await;
    let accounts = vec![
        ada.id.clone(),
        bob.id.clone(),
        uuid::Uuid::now_v7().to_string(),
    ];
    let answer = auth
        .directory
        .clone()
        .lookup_accounts(LookupAccountsRequest { accounts })
        .await
        .unwrap();
    let mut entries = answer.into_inner().entries;
    entries.sort_by_key(|entry| entry.account != ada.id);
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (
            entries[0].state(),
            entries[0].display_name.as_str(),
            entries[0].locale.as_str()
        ),
        (AccountState::Active, "Ada", "en")
    );
    assert_eq!(
        (entries[1].account.as_str(), entries[1].state()),
        (bob.id.as_str(), AccountState::Disabled)
    );
}

#[tokio::test]
async fn too_many_and_malformed_ids_are_refused() {
    let auth = Auth::start().await;
    for accounts in [
        vec![uuid::Uuid::now_v7().to_string(); 501],
        vec!["ada".to_owned()],
    ] {
        let refusal = auth
            .directory
            .clone()
            .lookup_accounts(LookupAccountsRequest { accounts })
            .await;
        assert_eq!(reason(refusal), "INVALID_FIELD");
    }
}
