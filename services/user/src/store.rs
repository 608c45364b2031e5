//! The tables, one module each: free functions over a connection.

pub(crate) mod activities;
pub(crate) mod preferences;
pub(crate) mod profiles;
