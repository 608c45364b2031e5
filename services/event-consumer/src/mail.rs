//! Mail: what it says and how it leaves.

pub(crate) mod delivery;
pub(crate) mod letter;
