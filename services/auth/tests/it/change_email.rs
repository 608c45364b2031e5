use grimoire_proto::auth::v1::*;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;

use crate::change_password::just_proven;
use crate::kit::{Auth, on_behalf_of, reason, session_of, set};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "ada@example.org";

fn asked(account: &str, session: &str, of: &str, new_email: &str) -> Request<ChangeEmailRequest> {
    let message = ChangeEmailRequest {
        account: of.to_owned(),
        new_email: new_email.to_owned(),
    };
    let mut request = on_behalf_of(message, account);
    set(&mut request, "grimoire-session", session);
    just_proven(&mut request);
    request
}

impl Auth {
    pub(crate) async fn ask_for_email(
        &self,
        account: &str,
        tokens: &Tokens,
        new_email: &str,
    ) -> Result<ChangeEmailResponse, Status> {
        let request = asked(account, &session_of(tokens), "me", new_email);
        let answer = self.accounts.clone().change_email(request).await?;
        Ok(answer.into_inner())
    }

    /// The mail that the last request has led to.
    pub(crate) async fn mail_of_change(&self) -> Result<GetNotificationResponse, Status> {
        let event = self.events().await.pop().unwrap();
        assert_eq!(event.kind, "EmailChangeRequested");
        self.notification(event.id).await
    }

    /// Asks for another address, and takes the token out of the mail.
    pub(crate) async fn change_token(
        &self,
        account: &str,
        tokens: &Tokens,
        new_email: &str,
    ) -> String {
        let asked = self.ask_for_email(account, tokens, new_email).await;
        assert_eq!(asked.unwrap(), ChangeEmailResponse {});
        let mail = self.mail_of_change().await.unwrap();
        assert_eq!(mail.kind(), NotificationKind::EmailChange);
        mail.token
    }
}

#[tokio::test]
async fn the_new_address_gets_the_token_and_the_account_keeps_the_old_one_until_it_is_used() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.ask_for_email(&account.id, &tokens, NEW).await.unwrap();
    let event = auth.events().await.pop().unwrap();
    assert_eq!(
        (event.topic.as_str(), event.version),
        ("grimoire.auth.notice.v1", 1)
    );
    let payload = String::from_utf8_lossy(&event.payload);
    assert!(!payload.contains("example"), "{payload}");

    let mail = auth.notification(event.id).await.unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str(), mail.locale.as_str()),
        (NotificationKind::EmailChange, NEW, "en")
    );
    // Its reader may never have heard of the account.
    assert_eq!(mail.display_name, "");
    assert_eq!(mail.token.len(), 43);
    assert_eq!(auth.notification(event.id).await.unwrap(), mail);
    let stays = "select count(*) from accounts where email = 'ada@example.com' and revision = 1";
    assert_eq!(auth.count(stays).await, 1);
}

#[tokio::test]
async fn a_free_and_a_taken_address_get_the_same_answer_and_cost_the_same_rows() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.signed_in("eve@example.com").await;
    auth.register("free@example.com").await.unwrap();
    let mut written = Vec::new();
    for email in ["free@example.com", " EVE@example.com "] {
        let before = auth.rows().await;
        let answer = auth.ask_for_email(&account.id, &tokens, email).await;
        assert_eq!(answer.unwrap(), ChangeEmailResponse {});
        written.push(auth.rows().await - before);
    }
    assert_eq!(written[0], written[1]);

    let mail = auth.mail_of_change().await.unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str(), mail.token.as_str()),
        (NotificationKind::EmailTaken, "eve@example.com", "")
    );
}

#[tokio::test]
async fn an_address_is_changed_by_its_owner_who_has_just_proven_who_it_is_and_by_nobody_else() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (stranger, strange) = auth.administrator("root@example.com").await;
    let mut request = asked(&stranger.id, &session_of(&strange), &account.id, NEW);
    set(&mut request, "grimoire-roles", "admin");
    let admin = auth.accounts.clone().change_email(request).await;
    assert_eq!(reason(admin), "RESOURCE_NOT_FOUND");

    let mut request = asked(&account.id, &session_of(&tokens), "me", NEW);
    set(&mut request, "grimoire-auth-time", "1000000000");
    let stale = auth.accounts.clone().change_email(request).await;
    assert_eq!(reason(stale), "RECENT_LOGIN_REQUIRED");

    let request = asked(&account.id, &session_of(&strange), "me", NEW);
    let of_another = auth.accounts.clone().change_email(request).await;
    assert_eq!(reason(of_another), "TOKEN_REVOKED");
    auth.logout(Some(&session_of(&tokens)), "").await.unwrap();
    let late = auth.ask_for_email(&account.id, &tokens, NEW).await;
    assert_eq!(reason(late), "TOKEN_REVOKED");
    assert_eq!(auth.count("select count(*) from email_changes").await, 0);
}

#[tokio::test]
async fn what_is_no_other_address_is_refused_and_the_field_is_named() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    for wrong in ["", "ada", "ada@example", EMAIL] {
        let refusal = auth.ask_for_email(&account.id, &tokens, wrong).await;
        let details = refusal.unwrap_err().get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "INVALID_FIELD");
        let field = &details.bad_request().unwrap().field_violations[0].field;
        assert_eq!(field, "new_email", "{wrong}");
    }
}

#[tokio::test]
async fn another_spelling_of_the_own_address_is_not_taken() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth
        .change_token(&account.id, &tokens, "Ada@example.com")
        .await;
    auth.confirm(&token).await.unwrap();
    let spelled = "select count(*) from accounts where email = 'Ada@example.com'";
    assert_eq!(auth.count(spelled).await, 1);
}

#[tokio::test]
async fn a_newer_request_replaces_an_older_one_whatever_its_address() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let older = auth.change_token(&account.id, &tokens, NEW).await;
    let event = auth.events().await.pop().unwrap().id;
    auth.change_token(&account.id, &tokens, "ada@example.net")
        .await;
    assert_eq!(
        reason(auth.notification(event).await),
        "NOTIFICATION_OBSOLETE"
    );
    assert_eq!(reason(auth.confirm(&older).await), "MAIL_TOKEN_INVALID");
}

#[tokio::test]
async fn the_sixth_mail_of_an_hour_is_not_sent_and_the_answer_is_the_same() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    for _ in 0..6 {
        let answer = auth.ask_for_email(&account.id, &tokens, NEW).await;
        assert_eq!(answer.unwrap(), ChangeEmailResponse {});
    }
    assert_eq!(auth.count("select count(*) from email_changes").await, 5);
}

#[tokio::test]
async fn what_signs_out_elsewhere_ends_an_open_request() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let session = session_of(&tokens);
    auth.login(EMAIL, crate::kit::PASSWORD).await.unwrap();
    let token = auth.change_token(&account.id, &tokens, NEW).await;
    let event = auth.events().await.pop().unwrap().id;
    auth.revoke_all(&account.id, &session, true).await.unwrap();
    assert_eq!(reason(auth.confirm(&token).await), "MAIL_TOKEN_INVALID");
    assert_eq!(
        reason(auth.notification(event).await),
        "NOTIFICATION_OBSOLETE"
    );

    let token = auth.change_token(&account.id, &tokens, NEW).await;
    let password = "nine quiet otters swim";
    let changed = auth.change(&account.id, &session, "me", password).await;
    changed.unwrap();
    assert_eq!(reason(auth.confirm(&token).await), "MAIL_TOKEN_INVALID");
}
