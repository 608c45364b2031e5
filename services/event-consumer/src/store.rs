//! The tables, one module each: free functions over a connection.

pub(crate) mod audit_records;
pub(crate) mod dead_letter_keys;
pub(crate) mod erased_accounts;
