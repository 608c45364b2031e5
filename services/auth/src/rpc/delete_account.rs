//! AccountService.DeleteAccount, after a recent proof of who it is: nobody gets in any more, and the erasure begins.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{DeleteAccountRequest, DeleteAccountResponse};
use sqlx::PgConnection;
use uuid::Uuid;

use super::AccountApi;
use crate::administration::{by, lock};
use crate::deletion;
use crate::email::Email;
use crate::error::Error;
use crate::roles::ADMIN;
use crate::store::accounts::administration;
use crate::store::{accounts, address_state, email_changes, password_resets, sessions};

/// Succeeds again and again; only the first time something happens.
pub(super) async fn delete_account(
    api: &AccountApi,
    caller: &Caller,
    request: &DeleteAccountRequest,
) -> Result<DeleteAccountResponse, Error> {
    let account = caller.own(&request.account)?;
    let own = Some(account) == caller.subject;
    let account = account.0;
    let person = accounts::person(&api.pool, account)
        .await?
        .ok_or(Error::NotFound("account"))?;
    if person.deleted {
        return Ok(DeleteAccountResponse {});
    }

    let mut transaction = api.pool.begin().await?;
    // A sign-in that has begun ends first, and its session with the others. Nobody signs in by an address that is none.
    if let Ok(email) = Email::parse(&person.email) {
        let address = api.pseudonyms.address(&email);
        address_state::lock(&mut *transaction, address.as_bytes()).await?;
        password_resets::supersede(&mut *transaction, address.as_bytes()).await?;
    }
    let session = match own {
        true => Some(own_session(&mut transaction, caller, account).await?),
        false => None,
    };
    email_changes::supersede(&mut *transaction, account).await?;
    sessions::end_all(&mut *transaction, account, None).await?;
    let by_account_id = if own {
        refuse_administrator(&mut transaction, account).await?;
        String::new()
    } else {
        match lock(&mut transaction, caller, account).await {
            // For who is no administrator any more, another's account does not exist.
            Err(Error::RoleRequired) => return Err(Error::NotFound("account")),
            locked => locked?,
        };
        by(caller)
    };
    deletion::begin(&mut transaction, account, by_account_id, session).await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(DeleteAccountResponse {})
}

/// The session that asks: one that has ended a moment ago deletes nothing.
async fn own_session(
    connection: &mut PgConnection,
    caller: &Caller,
    account: Uuid,
) -> Result<Uuid, Error> {
    let session = caller.session.ok_or(Error::SessionEnded)?.0;
    sessions::refreshable(connection, session)
        .await?
        .filter(|row| row.live && !row.held && row.account == account)
        .map(|_| session)
        .ok_or(Error::SessionEnded)
}

/// Another administrator does it, so that one always stays.
async fn refuse_administrator(connection: &mut PgConnection, account: Uuid) -> Result<(), Error> {
    let rows = administration::lock(connection, &[account]).await?;
    if rows
        .iter()
        .any(|row| row.roles.iter().any(|role| role == ADMIN))
    {
        return Err(Error::OwnAccount("delete"));
    }
    Ok(())
}
