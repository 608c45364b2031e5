use grimoire_proto::auth::v1::managed_account::State;
use grimoire_proto::auth::v1::*;
use grimoire_proto::events::v1::AccountDeleted;
use prost::Message as _;
use tonic::{Request, Status};

use crate::change_password::just_proven;
use crate::kit::{Auth, PASSWORD, as_admin, on_behalf_of, reason, session_of, set};

const EMAIL: &str = "ada@example.com";

fn deletion(of: &str) -> DeleteAccountRequest {
    DeleteAccountRequest {
        account: of.to_owned(),
    }
}

impl Auth {
    /// The owner deletes the account.
    pub(crate) async fn delete(
        &self,
        account: &Account,
        tokens: &Tokens,
    ) -> Result<DeleteAccountResponse, Status> {
        let mut request = on_behalf_of(deletion("me"), &account.id);
        set(&mut request, "grimoire-session", &session_of(tokens));
        self.send_deletion(request).await
    }

    async fn delete_by(
        &self,
        admin: &Account,
        account: &str,
    ) -> Result<DeleteAccountResponse, Status> {
        self.send_deletion(as_admin(deletion(account), admin)).await
    }

    async fn send_deletion(
        &self,
        mut request: Request<DeleteAccountRequest>,
    ) -> Result<DeleteAccountResponse, Status> {
        just_proven(&mut request);
        let answer = self.accounts.clone().delete_account(request).await?;
        Ok(answer.into_inner())
    }

    /// The state of an account as `admin` sees it, and its address.
    pub(crate) async fn state(&self, admin: &Account, account: &str) -> (State, String) {
        let request = as_admin(ListAccountsRequest::default(), admin);
        let listed = self.admin.clone().list_accounts(request).await.unwrap();
        let mut listed = listed.into_inner().accounts.into_iter();
        let found = listed.find(|listed| listed.id == account).unwrap();
        (found.state(), found.email)
    }
}

#[tokio::test]
async fn a_deleted_account_has_no_session_and_nobody_gets_in() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let other = auth.login(EMAIL, PASSWORD).await.unwrap().tokens.unwrap();
    auth.delete(&account, &tokens).await.unwrap();

    for tokens in [&tokens, &other] {
        let refused = auth.refresh(&tokens.refresh_token).await;
        assert_eq!(reason(refused), "INVALID_REFRESH_TOKEN");
    }
    let live = "select count(*) from sessions where ended_at is null";
    assert_eq!(auth.count(live).await, 1, "the administrator's");
    let outdated = "select count(*) from revocations where min_version = 2 and session_id is null";
    assert_eq!(auth.count(outdated).await, 2);
    let password = "select count(*) from accounts where password_hash = '' and roles = '{}'";
    assert_eq!(auth.count(password).await, 1);

    let event = auth.events().await.pop().unwrap();
    assert_eq!((event.kind.as_str(), event.version), ("AccountDeleted", 4));
    let told = AccountDeleted::decode(&*event.payload).unwrap();
    assert_eq!(
        (told.account_id, told.by_account_id),
        (account.id.clone(), String::new())
    );
    let state = auth.state(&admin, &account.id).await;
    assert_eq!(state, (State::Deleting, EMAIL.to_owned()));
    let request = as_admin(
        GetAccountRequest {
            account: account.id,
        },
        &admin,
    );
    let read = auth.accounts.clone().get_account(request).await;
    assert_eq!(reason(read), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn signing_in_to_a_deleted_account_reads_and_writes_like_to_an_unknown_one() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.delete(&account, &tokens).await.unwrap();
    for email in ["nobody@example.com", EMAIL] {
        let before = auth.rows().await;
        assert_eq!(
            reason(auth.login(email, PASSWORD).await),
            "INVALID_CREDENTIALS"
        );
        // The count of failures and its network; of the deleted one the first was there.
        let known = i64::from(email == EMAIL);
        assert_eq!(auth.rows().await - before, 2 - known, "{email}");
    }
}

#[tokio::test]
async fn no_token_of_a_mail_that_went_out_before_is_good() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let change = auth
        .change_token(&account.id, &tokens, "ada@example.org")
        .await;
    let request = RequestPasswordResetRequest {
        email: EMAIL.to_owned(),
    };
    let mut accounts = auth.accounts.clone();
    accounts
        .request_password_reset(request.clone())
        .await
        .unwrap();
    let reset = auth.events().await.pop().unwrap();
    let reset = auth.notification(reset.id).await.unwrap().token;
    auth.delete(&account, &tokens).await.unwrap();

    let confirm = ConfirmEmailRequest { token: change };
    assert_eq!(
        reason(accounts.confirm_email(confirm).await),
        "MAIL_TOKEN_INVALID"
    );
    let reset = ResetPasswordRequest {
        token: reset,
        new_password: "nine quiet otters swim".to_owned(),
    };
    assert_eq!(
        reason(accounts.reset_password(reset).await),
        "MAIL_TOKEN_INVALID"
    );

    // Nor does another mail say that there is an account.
    auth.register(EMAIL).await.unwrap();
    let repeated = auth.events().await.pop().unwrap();
    accounts.request_password_reset(request).await.unwrap();
    let asked = auth.events().await.pop().unwrap();
    for event in [repeated.id, asked.id] {
        let mail = auth.notification(event).await;
        assert_eq!(reason(mail), "NOTIFICATION_OBSOLETE");
    }
}

#[tokio::test]
async fn the_last_mail_goes_to_the_owner() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let tokens = auth.login(EMAIL, PASSWORD).await.unwrap().tokens.unwrap();
    auth.delete(&account, &tokens).await.unwrap();
    let event = auth.events().await.pop().unwrap();
    let mail = auth.notification(event.id).await.unwrap();
    assert_eq!(
        (
            mail.kind(),
            mail.address.as_str(),
            mail.display_name.as_str()
        ),
        (NotificationKind::AccountDeleted, EMAIL, "Ada")
    );
    assert_eq!(
        (mail.client_address.as_str(), mail.token.as_str()),
        ("203.0.113.9", "")
    );
}

#[tokio::test]
async fn an_administrator_deletes_anothers_account_once_and_the_event_says_who_did_it() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, _) = auth.signed_in(EMAIL).await;
    for _ in 0..2 {
        auth.delete_by(&admin, &account.id).await.unwrap();
    }
    let history = auth.history(&account.id).await;
    assert_eq!(history.last().unwrap(), &("AccountDeleted".to_owned(), 3));
    let event = auth.events().await.pop().unwrap();
    let told = AccountDeleted::decode(&*event.payload).unwrap();
    assert_eq!(told.by_account_id, admin.id);
}

#[tokio::test]
async fn an_administrators_account_is_for_another_one_to_delete() {
    let auth = Auth::start().await;
    let (admin, tokens) = auth.administrator("root@example.com").await;
    let (other, _) = auth.administrator("second@example.com").await;
    assert_eq!(reason(auth.delete(&admin, &tokens).await), "OWN_ACCOUNT");
    auth.delete_by(&other, &admin.id).await.unwrap();
    // As if a token still showed the role.
    let refused = auth.delete_by(&admin, &other.id).await;
    assert_eq!(reason(refused), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn nobody_else_deletes_an_account_nor_does_a_session_that_has_ended() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    // As if her token showed a role that she has lost.
    for id in [account.id.clone(), uuid::Uuid::now_v7().to_string()] {
        let refused = auth.delete_by(&eve, &id).await;
        assert_eq!(reason(refused), "RESOURCE_NOT_FOUND");
    }
    auth.logout(Some(&session_of(&tokens)), "").await.unwrap();
    assert_eq!(
        reason(auth.delete(&account, &tokens).await),
        "TOKEN_REVOKED"
    );
    let deleted = "select count(*) from accounts where deleted_at is not null";
    assert_eq!(auth.count(deleted).await, 0);
}

#[tokio::test]
async fn administrators_change_nothing_about_a_deleted_account_and_others_do_not_hear_of_it() {
    let auth = Auth::start().await;
    let (admin, _) = auth.administrator("root@example.com").await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    auth.delete(&account, &tokens).await.unwrap();
    let refused = [
        reason(auth.lock(&admin, &account.id).await),
        reason(auth.unlock(&admin, &account.id).await),
        reason(auth.disable(&admin, &account.id).await),
    ];
    assert_eq!(refused, ["RESOURCE_NOT_FOUND"; 3]);
    let granted = auth::grant_role(&auth.pool, EMAIL, "admin").await;
    assert!(matches!(granted, Err(auth::CommandError::Unknown(_))));

    let request = LookupAccountsRequest {
        accounts: vec![account.id.clone(), admin.id],
    };
    let entries = auth.directory.clone().lookup_accounts(request).await;
    assert_eq!(entries.unwrap().into_inner().entries.len(), 1);
}

#[tokio::test]
async fn no_session_is_left_of_sign_ins_that_come_at_the_same_time() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let logins = futures::future::join_all((0..8).map(|_| auth.login(EMAIL, PASSWORD)));
    let (_, deleted) = tokio::join!(logins, auth.delete(&account, &tokens));
    deleted.unwrap();
    let live = "select count(*) from sessions where ended_at is null";
    assert_eq!(auth.count(live).await, 0);
}
