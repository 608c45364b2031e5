use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::PasswordChanged;
use prost::Message as _;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, as_admin, reason};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "nine quiet otters swim";

impl Auth {
    async fn force_reset(&self, by: &Account, account: &str) -> Result<(), Status> {
        let message = ForceResetRequest {
            account: account.to_owned(),
        };
        let request = as_admin(message, by);
        self.admin.clone().force_reset(request).await.map(drop)
    }
}

#[tokio::test]
async fn nobody_signs_in_until_the_owner_has_chosen_another_password_by_mail() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let older = auth.reset_token(EMAIL).await;
    auth.force_reset(&admin, &account.id).await.unwrap();

    let old = auth.login(EMAIL, PASSWORD).await;
    assert_eq!(reason(old), "INVALID_CREDENTIALS");
    assert!(!auth.is_live(&tokens).await);
    assert_eq!(reason(auth.reset(&older, NEW).await), "MAIL_TOKEN_INVALID");
    let notice = auth.events().await.pop().unwrap();
    assert_eq!(notice.kind, "PasswordResetRequested");
    let mail = auth.notification(notice.id).await.unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str()),
        (NotificationKind::PasswordReset, EMAIL)
    );
    auth.reset(&mail.token, NEW).await.unwrap();
    auth.login(EMAIL, NEW).await.unwrap();
}

#[tokio::test]
async fn the_event_says_which_administrator_and_leads_to_no_mail_of_its_own() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    auth.force_reset(&admin, &account.id).await.unwrap();
    let events = auth.events().await;
    let event = events.iter().find(|event| event.kind == "PasswordChanged");
    let event = event.unwrap();
    assert_eq!(event.version, 3);
    let expected = PasswordChanged {
        account_id: account.id.clone(),
        session_id: String::new(),
        by_account_id: admin.id.clone(),
    };
    let told = PasswordChanged::decode(&*event.payload).unwrap();
    assert_eq!(told, expected);
    assert_eq!(
        reason(auth.notification(event.id).await),
        "RESOURCE_NOT_FOUND"
    );
    let outdated = "select count(*) from revocations where min_version = 2";
    assert_eq!(auth.count(outdated).await, 2);
}

#[tokio::test]
async fn the_mail_goes_out_also_when_the_address_has_had_its_mails_of_the_hour() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    for _ in 0..6 {
        auth.register(EMAIL).await.unwrap();
    }
    auth.force_reset(&admin, &account.id).await.unwrap();
    let notice = auth.events().await.pop().unwrap();
    assert_eq!(
        (notice.kind.as_str(), notice.version),
        ("PasswordResetRequested", 6)
    );
    auth.notification(notice.id).await.unwrap();
}

#[tokio::test]
async fn who_is_no_administrator_resets_nothing() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    let refused = auth.force_reset(&eve, &account.id).await;
    assert_eq!(reason(refused), "ROLE_REQUIRED");
    assert!(auth.is_live(&tokens).await);
    auth.login(EMAIL, PASSWORD).await.unwrap();
    assert_eq!(auth.count("select count(*) from password_resets").await, 0);
}
