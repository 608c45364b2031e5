//! RequestPasswordReset and ResetPassword.

use grimoire_proto::auth::v1::*;
use tonic::Status;

use crate::kit::{Auth, reason, session_of};

const EMAIL: &str = "ada@example.com";
const NEW: &str = "nine quiet otters swim";

impl Auth {
    async fn ask_for_reset(&self, email: &str) {
        let request = RequestPasswordResetRequest {
            email: email.to_owned(),
        };
        let answer = self.accounts.clone().request_password_reset(request).await;
        assert_eq!(
            answer.unwrap().into_inner(),
            RequestPasswordResetResponse {}
        );
    }

    /// Asks for a new password, and takes the token out of the mail.
    pub(crate) async fn reset_token(&self, email: &str) -> String {
        self.ask_for_reset(email).await;
        let event = self.events().await.pop().unwrap();
        assert_eq!(event.kind, "PasswordResetRequested");
        let mail = self.notification(event.id).await.unwrap();
        assert_eq!(mail.kind(), NotificationKind::PasswordReset);
        mail.token
    }

    pub(crate) async fn reset(
        &self,
        token: &str,
        password: &str,
    ) -> Result<ResetPasswordResponse, Status> {
        let request = ResetPasswordRequest {
            token: token.to_owned(),
            new_password: password.to_owned(),
        };
        let answer = self.accounts.clone().reset_password(request).await?;
        Ok(answer.into_inner())
    }
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_by_mail_and_every_session_ends() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let superseded = auth.reset_token(EMAIL).await;
    let token = auth.reset_token(" Ada@Example.com ").await;
    assert_eq!(
        reason(auth.reset(&superseded, NEW).await),
        "MAIL_TOKEN_INVALID"
    );
    assert_eq!(reason(auth.reset(&token, "short").await), "WEAK_PASSWORD");

    auth.reset(&token, NEW).await.unwrap();
    assert_eq!(reason(auth.reset(&token, NEW).await), "MAIL_TOKEN_USED");
    let ended = auth.refresh(&tokens.refresh_token).await;
    assert_eq!(reason(ended), "INVALID_REFRESH_TOKEN");
    auth.login(EMAIL, NEW).await.unwrap();
    let history = auth.history(&account.id).await;
    let kinds: Vec<&str> = history.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "AccountRegistered",
            "LoggedIn",
            "PasswordChanged",
            "LoggedIn"
        ]
    );
}

#[tokio::test]
async fn of_many_who_use_one_token_at_once_one_sets_the_password() {
    let auth = Auth::start().await;
    auth.signed_in(EMAIL).await;
    let token = auth.reset_token(EMAIL).await;
    let tries = (0..8).map(|number| {
        let (auth, token) = (&auth, token.as_str());
        async move { auth.reset(token, &format!("{NEW} {number}")).await.is_ok() }
    });
    let set = futures::future::join_all(tries).await;
    assert_eq!(set.into_iter().filter(|set| *set).count(), 1);
}

#[tokio::test]
async fn an_address_without_an_account_costs_the_same_rows_and_gets_no_mail() {
    let auth = Auth::start().await;
    auth.signed_in(EMAIL).await;
    let rows =
        || async { auth.rows().await + auth.count("select count(*) from password_resets").await };
    let before = rows().await;
    auth.ask_for_reset(EMAIL).await;
    let known = rows().await - before;
    auth.execute("delete from address_state").await;
    let before = rows().await;
    auth.ask_for_reset("nobody@example.com").await;
    // A row of address_state is new for one who was never seen.
    assert_eq!(rows().await - before, known + 1);
    let event = auth.events().await.pop().unwrap();
    assert_eq!(event.kind, "PasswordResetRequested");
    assert_eq!(
        reason(auth.notification(event.id).await),
        "NOTIFICATION_OBSOLETE"
    );
}

#[tokio::test]
async fn a_token_is_worth_nothing_when_it_is_late_or_the_password_changed_or_the_address_did() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let late = auth.reset_token(EMAIL).await;
    auth.execute("update password_resets set expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(reason(auth.reset(&late, NEW).await), "MAIL_TOKEN_EXPIRED");

    let overtaken = auth.reset_token(EMAIL).await;
    auth.change(&account.id, &session_of(&tokens), "me", NEW)
        .await
        .unwrap();
    assert_eq!(
        reason(auth.reset(&overtaken, NEW).await),
        "MAIL_TOKEN_INVALID"
    );

    let moved = auth.reset_token(EMAIL).await;
    auth.execute("update accounts set email = 'ada@example.org', email_key = 'ada@example.org'")
        .await;
    assert_eq!(reason(auth.reset(&moved, NEW).await), "MAIL_TOKEN_INVALID");
    assert_eq!(
        reason(auth.reset("nonsense", NEW).await),
        "MAIL_TOKEN_INVALID"
    );
}

#[tokio::test]
async fn a_disabled_account_gets_no_new_password() {
    let auth = Auth::start().await;
    auth.signed_in(EMAIL).await;
    let token = auth.reset_token(EMAIL).await;
    auth.execute("update accounts set disabled_at = now()")
        .await;
    assert_eq!(reason(auth.reset(&token, NEW).await), "MAIL_TOKEN_INVALID");
}

#[tokio::test]
async fn an_address_gets_five_mails_an_hour_of_all_kinds() {
    let auth = Auth::start().await;
    auth.signed_in(EMAIL).await;
    for _ in 0..10 {
        auth.ask_for_reset(EMAIL).await;
    }
    // One was the registration's.
    assert_eq!(auth.count("select count(*) from password_resets").await, 4);
}

#[tokio::test]
async fn the_mail_of_a_locked_account_is_not_sent() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let (admin, _) = auth.administrator("root@example.com").await;
    auth.lock(&admin, &account.id).await.unwrap();
    auth.ask_for_reset(EMAIL).await;
    let event = auth.events().await.pop().unwrap();
    assert_eq!(
        reason(auth.notification(event.id).await),
        "NOTIFICATION_OBSOLETE"
    );
}
