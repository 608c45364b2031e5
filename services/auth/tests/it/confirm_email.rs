use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::EmailChanged;
use prost::Message as _;
use tonic::Status;

use crate::kit::{Auth, PASSWORD, on_behalf_of, reason, session_of};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "Ada@example.org";

impl Auth {
    pub(crate) async fn confirm(&self, token: &str) -> Result<ConfirmEmailResponse, Status> {
        let request = ConfirmEmailRequest {
            token: token.to_owned(),
        };
        let answer = self.accounts.clone().confirm_email(request).await?;
        Ok(answer.into_inner())
    }

    async fn account(&self, id: &str) -> Account {
        let request = GetAccountRequest {
            account: "me".to_owned(),
        };
        let answer = self
            .accounts
            .clone()
            .get_account(on_behalf_of(request, id))
            .await;
        answer.unwrap().into_inner().account.unwrap()
    }
}

#[tokio::test]
async fn the_token_makes_the_address_the_accounts_and_sessions_go_on() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    auth.confirm(&format!(" {token} ")).await.unwrap();

    let changed = auth.account(&account.id).await;
    assert_eq!(changed.email, NEW);
    assert_ne!(changed.etag, account.etag);
    assert!(auth.is_live(&tokens).await);
    assert_eq!(auth.count("select count(*) from revocations").await, 0);
    auth.login("ada@EXAMPLE.org", PASSWORD).await.unwrap();
    let old = auth.login(EMAIL, PASSWORD).await;
    assert_eq!(reason(old), "INVALID_CREDENTIALS");
    assert_eq!(reason(auth.confirm(&token).await), "MAIL_TOKEN_USED");
    // The old address is free.
    auth.signed_in(EMAIL).await;
}

#[tokio::test]
async fn the_address_from_before_is_told_and_no_event_holds_one() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    auth.confirm(&token).await.unwrap();
    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("EmailChanged", 3));
    let told = EmailChanged::decode(&*event.payload).unwrap();
    let expected = EmailChanged {
        account_id: account.id.clone(),
        session_id: session_of(&tokens),
    };
    assert_eq!(told, expected);
    let mail = auth.notification(event.id).await.unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str(), mail.token.as_str()),
        (NotificationKind::EmailChanged, EMAIL, "")
    );
    assert_eq!(auth.notification(event.id).await.unwrap(), mail);
}

#[tokio::test]
async fn a_late_a_superseded_and_an_unknown_token_are_told_apart() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let superseded = auth.change_token(&account.id, &tokens, NEW).await;
    let late = auth.change_token(&account.id, &tokens, NEW).await;
    assert_eq!(
        reason(auth.confirm(&superseded).await),
        "MAIL_TOKEN_INVALID"
    );
    auth.execute("update email_changes set expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(reason(auth.confirm(&late).await), "MAIL_TOKEN_EXPIRED");
    for unknown in ["", "x", &"A".repeat(43), &"A".repeat(5_000)] {
        assert_eq!(reason(auth.confirm(unknown).await), "MAIL_TOKEN_INVALID");
    }
    assert_eq!(auth.account(&account.id).await.email, EMAIL);
}

#[tokio::test]
async fn the_tokens_of_other_mails_confirm_nothing() {
    let auth = Auth::start().await;
    auth.signed_in(EMAIL).await;
    let reset = auth.reset_token(EMAIL).await;
    let registration = auth.mail_token("eve@example.com").await;
    for other in [reset, registration] {
        assert_eq!(reason(auth.confirm(&other).await), "MAIL_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn an_open_reset_of_the_old_address_is_worth_nothing() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let reset = auth.reset_token(EMAIL).await;
    let event = auth.events().await.pop().unwrap().id;
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    auth.confirm(&token).await.unwrap();
    let refused = auth.reset(&reset, "nine quiet otters swim").await;
    assert_eq!(reason(refused), "MAIL_TOKEN_INVALID");
    assert_eq!(
        reason(auth.notification(event).await),
        "NOTIFICATION_OBSOLETE"
    );
}

#[tokio::test]
async fn an_address_that_got_an_account_meanwhile_is_refused_like_a_token_that_is_none() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    auth.signed_in("ada@example.org").await;
    let refused = auth.confirm(&token).await.unwrap_err();
    let unknown = auth.confirm("x").await.unwrap_err();
    assert_eq!(refused.message(), unknown.message());
    assert_eq!(reason::<()>(Err(refused)), "MAIL_TOKEN_INVALID");
    assert_eq!(auth.account(&account.id).await.email, EMAIL);
    assert!(auth.is_live(&tokens).await);
}

#[tokio::test]
async fn of_two_accounts_that_prove_one_address_at_once_one_gets_it() {
    let auth = Auth::start().await;
    let (ada, own) = auth.signed_in(EMAIL).await;
    let (eve, strange) = auth.signed_in("eve@example.com").await;
    let first = auth.change_token(&ada.id, &own, NEW).await;
    let second = auth.change_token(&eve.id, &strange, NEW).await;
    let (first, second) = tokio::join!(auth.confirm(&first), auth.confirm(&second));
    assert_ne!(first.is_ok(), second.is_ok());
    let loser = if first.is_ok() { second } else { first };
    assert_eq!(reason(loser), "MAIL_TOKEN_INVALID");
    let has = "select count(*) from accounts where email_key = 'ada@example.org'";
    assert_eq!(auth.count(has).await, 1);
}

#[tokio::test]
async fn of_many_who_use_one_token_at_once_one_changes_the_address() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    let tries = (0..8).map(|_| auth.confirm(&token));
    let done = futures::future::join_all(tries).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    let history = auth.history(&account.id).await;
    let changes = history.iter().filter(|(kind, _)| kind == "EmailChanged");
    assert_eq!(changes.count(), 1);
}

#[tokio::test]
async fn a_locked_account_gets_no_other_address() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    auth.lock(&admin, &account.id).await.unwrap();
    assert_eq!(reason(auth.confirm(&token).await), "MAIL_TOKEN_INVALID");
    auth.unlock(&admin, &account.id).await.unwrap();
    // Whoever was in the account when it was locked may have asked.
    assert_eq!(reason(auth.confirm(&token).await), "MAIL_TOKEN_INVALID");
}
