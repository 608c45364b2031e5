//! HTTP with JSON to protobuf, and back: the JSON mapping of protobuf, as google.api.http binds it (AIP-127).

mod json;
mod mask;
mod percent;
mod request;
mod response;
mod violations;

pub(crate) use mask::has_behavior;
pub(crate) use request::{Parts, encode, is_group, takes_no_body};
pub(crate) use response::decode;
pub(crate) use violations::as_clients_see_them;
