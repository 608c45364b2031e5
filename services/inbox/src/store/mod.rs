//! The tables of the schema `inbox`.

pub(crate) mod jobs;
pub(crate) mod offsets;
pub(crate) mod parked;
pub(crate) mod versions;
