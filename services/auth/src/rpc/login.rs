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
use crate::sign_in::{Device, open_session};
use crate::soft_lock;
use crate::store::{accounts, address_state, failed_logins};

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

/// A wrong password, an unknown address, a disabled account and a refused attempt cost one hash, the same writes and one commit each,
/// take as long, and read the same.
async fn attempt(
    api: &SessionApi,
    client: &Client,
    email: &Email,
    password: &Password,
) -> Result<Attempt, Error> {
    let address = api.pseudonyms.address(email);
    let address = address.as_bytes();
    let network = client.network.as_str();

    let found = accounts::credentials(&api.pool, email, address, network).await?;
    let delayed = soft_lock::refuses(found.failures, found.failed_here_at, found.now);
    // A refused attempt must not learn whether it was right, nor may its time tell.
    let stored = found
        .account
        .zip(found.password_hash.as_deref())
        .filter(|_| !delayed && !found.disabled);
    let check = api.passwords.check(password.clone(), stored).await?;

    api.tokens.signer.ahead().await?;
    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address).await?;
    let failed_here_at = failed_logins::last(&mut *transaction, address, network).await?;
    // Decided again under the lock: of many guesses at once only the first few count as tried.
    let delayed = delayed || soft_lock::refuses(state.failures, failed_here_at, state.now);
    let Some((id, stored)) = stored.filter(|_| check.matches && !delayed) else {
        let (failures, failed_at, failed_here_at) = if delayed {
            (state.failures, state.last_failure_at, failed_here_at)
        } else {
            let failures =
                soft_lock::after_failure(state.failures, state.last_failure_at, state.now);
            (failures, Some(state.now), None)
        };
        let failed_here_at = failed_here_at.unwrap_or(state.now);
        address_state::set_failures(&mut *transaction, address, failures, failed_at).await?;
        failed_logins::note(&mut *transaction, address, network, failed_here_at).await?;
        transaction.commit().await?;
        tokio::time::sleep(check.spare).await;
        let outcome = if delayed { "delayed" } else { "refused" };
        api.logins.with_label_values(&[outcome]).inc();
        return Ok(Attempt::Refused);
    };

    if state.failures > 0 {
        address_state::set_failures(&mut *transaction, address, 0, None).await?;
    }
    if failed_here_at.is_some() {
        failed_logins::forget(&mut *transaction, address, network).await?;
    }
    let account = accounts::next_event_version_to_sign_in(&mut *transaction, id, stored).await?;
    let Some(account) = account else {
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
    if check.outdated {
        tokio::spawn(rehash(
            api.pool.clone(),
            Arc::clone(&api.passwords),
            grant.account,
            password.clone(),
            stored.to_owned(),
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
