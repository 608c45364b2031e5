//! The contracts of Grimoire as Rust: messages, clients and servers made from the protobuf files beside this crate, and readers
//! for the options that say who may call a method and how the edge treats it.

mod options_of;
mod reason;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

pub use options_of::{access, edge, failures, http, upstream};

#[allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub
)]
mod contracts {
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}

pub use contracts::google;
pub use contracts::grimoire::{audit, auth, delivery, errors, events, options, user};
pub use errors::v1::Reason;

/// Every file of the contracts: an encoded `google.protobuf.FileDescriptorSet` with custom options and comments.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The files that clients of the gateway see: as [`DESCRIPTOR_SET`], without services that only other processes may call.
pub const EDGE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/edge_descriptors.bin"));

static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    #[allow(clippy::expect_used)]
    // the bytes were written by build.rs from a pool that it had checked
    DescriptorPool::decode(DESCRIPTOR_SET).expect("the descriptors of this build are valid")
});

/// Every message and service of the contracts, described.
pub fn descriptors() -> &'static DescriptorPool {
    &DESCRIPTORS
}
