//! Takes a request from the budgets of its client.

use std::net::IpAddr;

use grimoire_proto::Reason;
use uuid::Uuid;

use crate::config::Per;
use crate::limits::{Exceeded, Limits, Standing};
use crate::plan::Route;
use crate::problem::Problem;

/// Before the token is looked at: the address, and the class of the route where that counts addresses. Requests that lead nowhere
/// count too.
pub(crate) async fn address(
    limits: &Limits,
    address: IpAddr,
    route: Option<&Route>,
) -> Result<Standing, Box<Problem>> {
    let standing = limits.address(address).await.map_err(refuse)?;
    let Some(class) = route.and_then(|route| route.class(Per::Address)) else {
        return Ok(standing);
    };
    let class = limits.class_of_address(class, address).await;
    Ok(standing.tighter(Some(class.map_err(refuse)?)))
}

/// After it: the account, and the class where that counts accounts.
pub(crate) async fn account(
    limits: &Limits,
    account: Uuid,
    route: &Route,
) -> Result<Standing, Box<Problem>> {
    let standing = limits.account(account).await.map_err(refuse)?;
    let Some(class) = route.class(Per::Account) else {
        return Ok(standing);
    };
    let class = limits.class_of_account(class, account).await;
    Ok(standing.tighter(Some(class.map_err(refuse)?)))
}

fn refuse(exceeded: Exceeded) -> Box<Problem> {
    let detail = format!("over the limit `{}`", exceeded.limit());
    let problem = Problem::new(Reason::RateLimited, detail)
        .retry_after(exceeded.wait)
        .metadata("limit", exceeded.limit());
    match exceeded.header() {
        Some(header) => problem.header("ratelimit", header),
        None => problem,
    }
}
