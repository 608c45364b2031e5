//! AdminService.SetRoles: exactly these.

use chassis::caller::Caller;
use grimoire_proto::auth::v1::{SetRolesRequest, SetRolesResponse};
use grimoire_proto::events::v1::RolesChanged;

use super::{AdminApi, managed_on_the_wire};
use crate::administration::{announce, by, lock, outdate_tokens};
use crate::error::Error;
use crate::roles::{self, ADMIN};
use crate::store::accounts::administration;

/// Succeeds again and again, whatever etag comes with roles that the account has already; only the first time something happens.
pub(super) async fn set_roles(
    api: &AdminApi,
    caller: &Caller,
    request: SetRolesRequest,
) -> Result<SetRolesResponse, Error> {
    let account = caller.own(&request.account)?;
    let roles = roles::list(request.roles)?;
    let stays = roles.iter().any(|role| role == ADMIN);
    if Some(account) == caller.subject && !stays {
        return Err(Error::OwnAccount("take the role admin from"));
    }
    let account = account.0;

    let mut transaction = api.pool.begin().await?;
    let mut found = lock(&mut transaction, caller, account).await?;
    found.roles.sort();
    if found.roles == roles {
        return Ok(SetRolesResponse {
            account: Some(managed_on_the_wire(found)),
        });
    }
    if !request.etag.is_empty() && request.etag != found.revision.to_string() {
        return Err(Error::StaleEtag);
    }
    let changed = administration::set_roles(&mut *transaction, account, &roles).await?;
    let event = RolesChanged {
        account_id: account.to_string(),
        roles,
        by_account_id: by(caller),
    };
    announce(&mut transaction, &changed, &event).await?;
    outdate_tokens(&mut transaction, &changed).await?;
    transaction.commit().await?;

    api.trust.revoked();
    api.relay.committed();
    Ok(SetRolesResponse {
        account: Some(managed_on_the_wire(changed)),
    })
}
