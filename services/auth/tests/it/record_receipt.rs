use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::ErasureCompleted;
use prost::Message as _;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, reason};

const EMAIL: &str = "ada@example.com";

impl Auth {
    pub(crate) async fn receipt(
        &self,
        account: &str,
        service: &str,
    ) -> Result<RecordReceiptResponse, Status> {
        let request = RecordReceiptRequest {
            account: account.to_owned(),
            service: service.to_owned(),
        };
        let answer = self.erasures.clone().record_receipt(request).await?;
        Ok(answer.into_inner())
    }
}

#[tokio::test]
async fn an_account_is_erased_when_the_last_receipt_is_there_and_one_event_tells_of_it() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.delete(&account, &tokens).await.unwrap();
    for service in ["user", "mail", "user"] {
        auth.receipt(&account.id, service).await.unwrap();
        let (state, _) = auth.state(&admin, &account.id).await;
        assert_eq!(state, State::Deleting, "{service}");
    }
    for _ in 0..2 {
        auth.receipt(&account.id, "event-consumer").await.unwrap();
        let state = auth.state(&admin, &account.id).await;
        assert_eq!(state, (State::Erased, String::new()));
    }
    let event = auth.events().await.pop().unwrap();
    assert_eq!(
        (event.kind.as_str(), event.version),
        ("ErasureCompleted", 4)
    );
    let told = ErasureCompleted::decode(&*event.payload).unwrap();
    assert_eq!(told.account_id, account.id);
    let receipts = "select count(*) from erasure_receipts";
    assert_eq!(auth.count(receipts).await, 3);
}

#[tokio::test]
async fn receipts_that_come_at_once_do_not_miss_each_other() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.delete(&account, &tokens).await.unwrap();
    let services = ["mail", "user", "event-consumer"];
    let receipts = services.map(|service| auth.receipt(&account.id, service));
    for receipt in futures::future::join_all(receipts).await {
        receipt.unwrap();
    }
    let event = auth.events().await.pop().unwrap();
    assert_eq!(
        (event.kind.as_str(), event.version),
        ("ErasureCompleted", 4)
    );
}

#[tokio::test]
async fn once_the_last_mail_has_left_nothing_is_known_of_the_person_and_the_address_is_free() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.change_token(&account.id, &tokens, "ada@example.org")
        .await;
    let request = RequestPasswordResetRequest {
        email: EMAIL.to_owned(),
    };
    let mut accounts = auth.accounts.clone();
    accounts.request_password_reset(request).await.unwrap();
    auth.delete(&account, &tokens).await.unwrap();
    let last_mail = auth.events().await.pop().unwrap();
    auth.receipt(&account.id, "mail").await.unwrap();

    let left = "select (select count(*) from registrations) + (select count(*) from password_resets)
                     + (select count(*) from email_changes) + (select count(*) from sessions)
                     + (select count(*) from known_devices)
                     + (select count(*) from notifications where account_id is not null)
                     + (select count(*) from accounts where email || display_name || locale || password_hash <> '')";
    assert_eq!(auth.count(left).await, 0);
    let mail = auth.notification(last_mail.id).await;
    assert_eq!(reason(mail), "RESOURCE_NOT_FOUND");
    assert_eq!(
        reason(auth.login(EMAIL, PASSWORD).await),
        "INVALID_CREDENTIALS"
    );

    let (again, _) = auth.signed_in(EMAIL).await;
    assert_ne!(again.id, account.id);
    auth.receipt(&account.id, "mail").await.unwrap();
    auth.login(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn who_was_not_deleted_and_what_does_not_erase_has_no_receipt() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let nobody = uuid::Uuid::now_v7().to_string();
    for id in [&account.id, &nobody] {
        for service in ["user", "event-consumer", "mail"] {
            let refused = auth.receipt(id, service).await;
            assert_eq!(reason(refused), "RESOURCE_NOT_FOUND", "{service}");
        }
    }
    auth.delete(&account, &tokens).await.unwrap();
    // Its own part auth knows itself.
    for service in ["auth", "gateway", ""] {
        let refused = auth.receipt(&account.id, service).await;
        assert_eq!(reason(refused), "INVALID_FIELD", "{service}");
    }
    let refused = auth.receipt("me", "user").await;
    assert_eq!(reason(refused), "INVALID_FIELD");
    let receipts = "select count(*) from erasure_receipts";
    assert_eq!(auth.count(receipts).await, 0);
}
