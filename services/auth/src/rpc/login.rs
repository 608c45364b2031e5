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
use crate::store::{accounts, address_state};

/// A wrong password, an unknown address, a disabled account and a refused attempt cost one hash, the same writes and one commit each,
/// take as long, and read the same.
pub(super) async fn login(
    api: &SessionApi,
    client: &Client,
    request: LoginRequest,
) -> Result<LoginResponse, Error> {
    let email = Email::parse(&request.email)?;
    let password = Password::presented(request.password)?;
    let address = api.pseudonyms.address(&email);

    let found =
        accounts::credentials(&api.pool, &email, address.as_bytes(), &client.network).await?;
    let delayed = soft_lock::refuses(
        found.failures,
        found.last_failure_at,
        found.familiar,
        found.now,
    );
    // A refused attempt must not learn whether it was right, nor may its time tell.
    let stored = found
        .account
        .zip(found.password_hash.as_deref())
        .filter(|_| !delayed && !found.disabled);
    let check = api.passwords.check(password.clone(), stored).await?;

    api.tokens.signer.ahead().await?;
    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    // Decided again under the lock: of many guesses at once only the first few count as tried.
    let delayed = delayed
        || soft_lock::refuses(
            state.failures,
            state.last_failure_at,
            found.familiar,
            state.now,
        );
    let proven = stored.filter(|_| check.matches && !delayed);
    let (failures, last_failure_at) = match proven {
        Some(_) => (0, None),
        None if delayed => (state.failures, state.last_failure_at),
        None => (
            soft_lock::after_failure(state.failures, state.last_failure_at, state.now),
            Some(state.now),
        ),
    };
    address_state::set_failures(
        &mut *transaction,
        address.as_bytes(),
        failures,
        last_failure_at,
    )
    .await?;
    let account = match proven {
        Some((id, stored)) => {
            accounts::next_event_version_to_sign_in(&mut *transaction, id, stored).await?
        }
        None => None,
    };
    let Some(account) = account else {
        transaction.commit().await?;
        tokio::time::sleep(check.spare).await;
        api.logins
            .with_label_values(&[if delayed { "delayed" } else { "refused" }])
            .inc();
        return Err(Error::InvalidCredentials);
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
    if let (true, Some((_, old))) = (check.outdated, stored) {
        tokio::spawn(rehash(
            api.pool.clone(),
            Arc::clone(&api.passwords),
            grant.account,
            password,
            old.to_owned(),
        ));
    }
    Ok(LoginResponse {
        tokens: Some(api.tokens.issue(&grant).await?),
        account: Some(shown),
    })
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
