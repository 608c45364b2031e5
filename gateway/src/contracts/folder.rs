//! Reads the folder: `*.binpb`, each an encoded `google.protobuf.FileDescriptorSet`, and upstreams.yaml.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::Uri;
use serde_norway::Mapping;

use super::ContractsError;
use crate::config;

/// The file that says where upstreams are.
const UPSTREAMS: &str = "upstreams.yaml";
/// How the names of sets end.
const SET: &str = ".binpb";

const MOST_SETS: u64 = 100;
/// Bytes of one file, and of all.
const LARGEST: u64 = 4 << 20;
const LARGEST_OF_ALL: u64 = 16 << 20;

/// What a folder has at a time.
#[derive(Default)]
pub(crate) struct Folder {
    /// By name.
    pub(super) sets: Vec<Set>,
    pub(super) upstreams: BTreeMap<String, Uri>,
    pub(crate) mark: Mark,
}

/// One set of descriptors.
pub(super) struct Set {
    /// Name of the file.
    pub(super) name: String,
    pub(super) content: Bytes,
}

/// Differs where anything in a folder does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark([u8; 32]);

impl Folder {
    /// Reads the folder. A folder without files adds nothing; one that is not there is an error, for its mount may be missing.
    pub(crate) fn read(path: &Path) -> Result<Self, ContractsError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |cause| ContractsError::Unreadable { path, cause }
        };
        let mut names = Vec::new();
        for entry in fs::read_dir(path).map_err(unreadable(path))? {
            let name = entry.map_err(unreadable(path))?.file_name();
            // Hidden ones are what editors and Kubernetes keep for themselves.
            names.extend(name.into_string().ok().filter(|name| {
                name == UPSTREAMS || (name.ends_with(SET) && !name.starts_with('.'))
            }));
        }
        names.sort();
        let too_much = |path: &Path, what, most| ContractsError::TooMuch {
            path: path.to_owned(),
            what,
            most,
        };
        if names.len() as u64 > MOST_SETS {
            return Err(too_much(path, "has more files", MOST_SETS));
        }

        let mut folder = Self::default();
        let mut mark = Context::new(&SHA256);
        let mut altogether = 0;
        for name in names {
            let file = path.join(&name);
            let mut content = Vec::new();
            File::open(&file)
                .and_then(|open| open.take(LARGEST + 1).read_to_end(&mut content))
                .map_err(unreadable(&file))?;
            let size = content.len() as u64;
            altogether += size;
            if size > LARGEST {
                return Err(too_much(&file, "has more bytes", LARGEST));
            }
            if altogether > LARGEST_OF_ALL {
                let what = "has more bytes in all its files";
                return Err(too_much(path, what, LARGEST_OF_ALL));
            }
            for part in [name.as_bytes(), &content] {
                mark.update(&(part.len() as u64).to_be_bytes());
                mark.update(part);
            }
            if name == UPSTREAMS {
                folder.upstreams = upstreams(&content).map_err(ContractsError::Upstreams)?;
            } else {
                let content = content.into();
                folder.sets.push(Set { name, content });
            }
        }
        folder.mark = Mark::finished(mark);
        Ok(folder)
    }
}

impl Mark {
    /// The mark of a folder that cannot be read: the same as long as it is for the same reason.
    pub(crate) fn of_failure(error: &ContractsError) -> Self {
        let mut mark = Context::new(&SHA256);
        mark.update(error.to_string().as_bytes());
        Self::finished(mark)
    }

    fn finished(mark: Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(mark.finish().as_ref());
        Self(bytes)
    }
}

/// `NAME: http://HOST:PORT`, one on a line.
fn upstreams(content: &[u8]) -> Result<BTreeMap<String, Uri>, String> {
    // A map of YAML refuses a name that is there twice.
    let map: Option<Mapping> =
        serde_norway::from_slice(content).map_err(|error| error.to_string())?;
    let mut upstreams = BTreeMap::new();
    for (name, address) in map.unwrap_or_default() {
        let (Some(name), Some(address)) = (name.as_str(), address.as_str()) else {
            return Err(
                "has something else than lines such as `orders: http://orders:50060`".into(),
            );
        };
        upstreams.insert(name.to_owned(), config::upstream(address)?);
    }
    Ok(upstreams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_names_and_plain_urls() {
        let read = upstreams(b"orders: http://orders:50060\nstock: http://10.0.0.1:1\n").unwrap();
        assert_eq!(read["orders"].host(), Some("orders"));
        assert_eq!(read.len(), 2);
        assert!(upstreams(b"").unwrap().is_empty());
        for wrong in [
            "orders",
            "orders: https://orders:1",
            "orders: 7",
            "- orders",
            "orders: http://a:1\norders: http://b:1",
        ] {
            assert!(upstreams(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
