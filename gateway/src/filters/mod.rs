//! The links of the chain that a request goes through, one file each; `proxy` has their order.

pub(crate) mod access;
pub(crate) mod cors;
pub(crate) mod guards;
pub(crate) mod identity_headers;
pub(crate) mod rate_limit;
pub(crate) mod request_id;
pub(crate) mod route;
pub(crate) mod token;
