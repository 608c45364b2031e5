//! The contracts that are served: those that are compiled in, and those of a folder that the operator gives. The folder adds, and
//! changes nothing of what is there.

mod folder;
mod known;
mod merge;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use http::Uri;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::plan::OWN;
pub(crate) use folder::{Folder, Mark};

/// Every contract, as one.
pub(crate) struct Contracts {
    pub(crate) pool: DescriptorPool,
    /// Where the upstreams are that the folder brings along.
    pub(crate) upstreams: BTreeMap<String, Uri>,
    /// What reflection shows beside the contracts that are compiled in: an encoded `google.protobuf.FileDescriptorSet`.
    pub(crate) reflected: Vec<u8>,
    /// The set of the folder that a file comes from, by the file's name.
    sources: HashMap<String, String>,
}

/// Why a folder of contracts is refused.
#[derive(Debug, thiserror::Error)]
pub enum ContractsError {
    #[error("GRIMOIRE_CONTRACTS_DIR: {} cannot be read: {cause}", .path.display())]
    Unreadable {
        path: PathBuf,
        cause: std::io::Error,
    },
    #[error(
        "GRIMOIRE_CONTRACTS_DIR: {} {what}, and no more than {most} are taken",
        .path.display()
    )]
    TooMuch {
        path: PathBuf,
        what: &'static str,
        most: u64,
    },
    #[error("upstreams.yaml: {0}")]
    Upstreams(String),
    #[error(
        "upstreams.yaml: `{0}` has its address from GRIMOIRE_UPSTREAMS already: give this one another name"
    )]
    UpstreamTwice(String),
    #[error(
        "{set}: is not a set of descriptors: make it by `buf build -o {set}` or `protoc --include_imports --descriptor_set_out={set}`"
    )]
    NotASet { set: String },
    #[error(
        "{set}: {file} has `{what}`, which the same file of this gateway has not or has otherwise: take the gateway's copy, or a newer gateway"
    )]
    Unlike {
        set: String,
        file: String,
        what: String,
    },
    #[error("{first} and {second} each have a {file} of their own: make both of the same one")]
    Differ {
        first: String,
        second: String,
        file: String,
    },
    #[error(
        "{set}: {file}: {cause} (a set has every import of its files: `buf build` puts them in, and protoc by --include_imports)"
    )]
    Unlinked {
        set: String,
        file: String,
        cause: String,
    },
    #[error(
        "{file}: clients see it, by {seen_by}, and it has MESH methods: they need a file of their own, because reflection shows whole files"
    )]
    MeshSeen { file: String, seen_by: String },
}

impl Contracts {
    /// Those that are compiled in.
    pub(crate) fn compiled_in(pool: &DescriptorPool) -> Self {
        Self {
            pool: pool.clone(),
            upstreams: BTreeMap::new(),
            reflected: Vec::new(),
            sources: HashMap::new(),
        }
    }

    /// Those that are compiled in, and those of `folder`. `configured` has the upstreams that are there without it.
    pub(crate) fn with(
        pool: &DescriptorPool,
        folder: &Folder,
        configured: &BTreeMap<String, Uri>,
    ) -> Result<Self, ContractsError> {
        let mut names = folder.upstreams.keys();
        if let Some(name) = names.find(|name| *name == OWN || configured.contains_key(*name)) {
            return Err(ContractsError::UpstreamTwice(name.clone()));
        }
        let merged = merge::merge(pool, &folder.sets)?;
        Ok(Self {
            reflected: merge::reflected(&merged.pool, &merged.sources)?,
            pool: merged.pool,
            upstreams: folder.upstreams.clone(),
            sources: merged.sources,
        })
    }

    /// The set of the folder that a method comes from; none where it is compiled in.
    pub(crate) fn source(&self, method: &MethodDescriptor) -> Option<&str> {
        let file = method.parent_file();
        self.sources.get(file.name()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests;
