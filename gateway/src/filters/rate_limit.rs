//! Takes a request from the budgets of its client.

use std::net::IpAddr;

use grimoire_proto::Reason;
use uuid::Uuid;

use crate::limits::{Exceeded, Limits, Standing};
use crate::plan::Route;
use crate::problem::Problem;

/// Before the token is looked at: the address, and the class of the route by address. Requests that lead nowhere count too.
pub(crate) fn address(
    limits: &Limits,
    address: IpAddr,
    route: Option<&Route>,
) -> Result<Standing, Box<Problem>> {
    let standing = limits
        .address(address)
        .map_err(|exceeded| refuse(&exceeded, route))?;
    let class = route
        .and_then(|route| route.class)
        .map(|class| limits.class(class, address))
        .transpose();
    Ok(standing.tighter(class.map_err(|exceeded| refuse(&exceeded, route))?))
}

/// After it: the account.
pub(crate) fn account(
    limits: &Limits,
    account: Uuid,
    route: &Route,
) -> Result<Standing, Box<Problem>> {
    limits
        .account(account)
        .map_err(|exceeded| refuse(&exceeded, Some(route)))
}

fn refuse(exceeded: &Exceeded, route: Option<&Route>) -> Box<Problem> {
    let detail = format!("over the limit `{}`", exceeded.name);
    let mut problem = Problem::new(Reason::RateLimited, detail)
        .retry_after(exceeded.wait)
        .metadata("limit", exceeded.name);
    if let Some(header) = exceeded.header() {
        problem = problem.header("ratelimit", header);
    }
    if let Some(route) = route {
        problem = problem.header("ratelimit-policy", route.policy.clone());
    }
    problem
}
