//! UserDataService.ProvisionUsers.

use grimoire_proto::user::v1::{ProvisionUsersRequest, ProvisionUsersResponse};
use uuid::Uuid;

use crate::error::{Error, Violation};
use crate::rpc::BATCH;
use crate::users::Users;

pub(super) async fn provision_users(
    users: &Users,
    request: &ProvisionUsersRequest,
) -> Result<ProvisionUsersResponse, Error> {
    if request.accounts.len() > BATCH {
        return Err(Error::InvalidFields(vec![Violation::new(
            "accounts",
            format!("has more than {BATCH} entries"),
        )]));
    }
    let mut accounts = Vec::with_capacity(request.accounts.len());
    let mut violations = Vec::new();
    for (index, account) in request.accounts.iter().enumerate() {
        match account.parse::<Uuid>() {
            Ok(account) => accounts.push(account),
            Err(_) => violations.push(Violation::new(
                format!("accounts[{index}]"),
                "is no account id",
            )),
        }
    }
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }
    users.make(&accounts).await?;
    Ok(ProvisionUsersResponse {})
}
