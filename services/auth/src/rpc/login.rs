//! SessionService.Login: an address and a password become a session.

use std::sync::Arc;

use grimoire_proto::auth::v1::{LoginRequest, LoginResponse};
use sqlx::PgPool;
use uuid::Uuid;

use super::{SessionApi, account_on_the_wire};
use crate::client::Client;
use crate::email::Email;
use crate::error::Error;
use crate::password::{Password, Passwords};
use crate::password_proof::prove;
use crate::sign_in::{Device, open_session};
use crate::store::accounts;

/// What came of one look.
enum Attempt {
    SignedIn(Box<LoginResponse>),
    Refused,
    /// The hash that matched is not the account's any more: it was renewed, or the password changed.
    Overtaken,
}

pub(super) async fn login(
    api: &SessionApi,
    client: &Client,
    request: LoginRequest,
) -> Result<LoginResponse, Error> {
    let email = Email::parse(&request.email)?;
    let password = Password::presented(request.password)?;
    let mut attempted = attempt(api, client, &email, &password).await?;
    if matches!(attempted, Attempt::Overtaken) {
        attempted = attempt(api, client, &email, &password).await?;
    }
    match attempted {
        Attempt::SignedIn(answer) => Ok(*answer),
        Attempt::Refused | Attempt::Overtaken => Err(Error::InvalidCredentials),
    }
}

async fn attempt(
    api: &SessionApi,
    client: &Client,
    email: &Email,
    password: &Password,
) -> Result<Attempt, Error> {
    api.tokens.signer.ahead().await?;
    let Some(proven) = prove(api, client, email, password).await? else {
        return Ok(Attempt::Refused);
    };
    let mut transaction = proven.transaction;
    let account =
        accounts::next_event_version_to_sign_in(&mut *transaction, proven.account, &proven.hash);
    let Some(account) = account.await? else {
        transaction.rollback().await?;
        return Ok(Attempt::Overtaken);
    };
    let shown = account_on_the_wire(&account);
    let grant = open_session(
        &mut transaction,
        account,
        client,
        Device::MayBeNew,
        &api.pseudonyms,
        &api.tokens,
    )
    .await?;
    transaction.commit().await?;

    api.relay.committed();
    api.logins.with_label_values(&["succeeded"]).inc();
    if proven.outdated {
        tokio::spawn(rehash(
            api.pool.clone(),
            Arc::clone(&api.passwords),
            grant.account,
            password.clone(),
            proven.hash,
        ));
    }
    Ok(Attempt::SignedIn(Box::new(LoginResponse {
        tokens: Some(api.tokens.issue(&grant).await?),
        account: Some(shown),
    })))
}

/// After the answer: brings a hash to today's parameters. When the pool is busy the next login does.
async fn rehash(
    pool: PgPool,
    passwords: Arc<Passwords>,
    account: Uuid,
    password: Password,
    old: String,
) {
    let replaced = match passwords.rehash(password).await {
        Ok(new) => accounts::replace_password_hash(&pool, account, &old, &new)
            .await
            .map_err(Error::from),
        Err(error) => Err(Error::from(error)),
    };
    if let Err(error) = replaced {
        tracing::debug!(%error, "a password hash was not renewed");
    }
}
