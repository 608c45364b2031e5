//! Whether somebody knows the password of an address: for signing in, and for proving it again.

use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::client::Client;
use crate::email::Email;
use crate::error::Error;
use crate::password::Password;
use crate::rpc::SessionApi;
use crate::soft_lock;
use crate::store::{accounts, address_state, failed_logins};

/// Somebody does.
pub(crate) struct Proven {
    /// Has locked the address and forgotten its failures.
    pub(crate) transaction: Transaction<'static, Postgres>,
    pub(crate) account: Uuid,
    /// The hash that matched.
    pub(crate) hash: String,
    /// It was made with parameters that are not today's.
    pub(crate) outdated: bool,
}

/// None: not. A wrong password, an unknown address, a locked or disabled account and a refused attempt cost one hash, the same writes
/// and one commit each, and take as long.
pub(crate) async fn prove(
    api: &SessionApi,
    client: &Client,
    email: &Email,
    password: &Password,
) -> Result<Option<Proven>, Error> {
    let address = api.pseudonyms.address(email);
    let address = address.as_bytes();
    let network = client.network.as_str();

    let found = accounts::credentials(&api.pool, email, address, network).await?;
    let delayed = soft_lock::refuses(found.failures, found.failed_here_at, found.now);
    // A refused attempt must not learn whether it was right, nor may its time tell.
    let stored = found
        .account
        .zip(found.password_hash.as_deref())
        .filter(|_| !delayed && !found.held);
    let check = api.passwords.check(password.clone(), stored).await?;

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address).await?;
    let failed_here_at = failed_logins::last(&mut *transaction, address, network).await?;
    // Decided again under the lock: of many guesses at once only the first few count as tried.
    let delayed = delayed || soft_lock::refuses(state.failures, failed_here_at, state.now);
    let Some((account, stored)) = stored.filter(|_| check.matches && !delayed) else {
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
        return Ok(None);
    };

    if state.failures > 0 {
        address_state::set_failures(&mut *transaction, address, 0, None).await?;
    }
    if failed_here_at.is_some() {
        failed_logins::forget(&mut *transaction, address, network).await?;
    }
    Ok(Some(Proven {
        transaction,
        account,
        hash: stored.to_owned(),
        outdated: check.outdated,
    }))
}
