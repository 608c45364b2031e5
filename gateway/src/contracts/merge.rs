//! Puts the sets of the folder beside the files that are compiled in.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use grimoire_proto::access::{self, Level};
use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor, MethodDescriptor};

use super::ContractsError;
use super::folder::Set;
use super::known::missing;

/// Google's files. They only grow, and what they say on the wire stays, so whatever copy a set has, the one that is compiled in serves.
const GOOGLE: &str = "google/";
/// Numbers of the fields of a file that say nothing to a program: comments, and from here on what `buf` notes for itself.
const COMMENTS: u32 = 9;
const NOTES: u32 = 1000;

/// A `google.protobuf.FileDescriptorSet` whose files stay encoded: decoding would lose the custom options.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// A file that one set or several have.
struct Added {
    encoded: Bytes,
    set: String,
}

/// The files of all, linked.
pub(super) struct Merged {
    pub(super) pool: DescriptorPool,
    /// The set that each file comes from which is not compiled in.
    pub(super) sources: HashMap<String, String>,
}

pub(super) fn merge(compiled_in: &DescriptorPool, sets: &[Set]) -> Result<Merged, ContractsError> {
    let mut added: BTreeMap<String, Added> = BTreeMap::new();
    for set in sets {
        let not_a_set = || ContractsError::NotASet {
            set: set.name.clone(),
        };
        let files = EncodedFiles::decode(set.content.clone()).map_err(|_| not_a_set())?;
        if files.file.is_empty() {
            return Err(not_a_set());
        }
        for encoded in files.file {
            let file = FileDescriptorProto::decode(encoded.clone()).map_err(|_| not_a_set())?;
            let name = file.name().to_owned();
            if let Some(known) = compiled_in.get_file_by_name(&name) {
                let unlike = missing(known.file_descriptor_proto(), &file);
                if let Some(what) = unlike.filter(|_| !name.starts_with(GOOGLE)) {
                    return Err(ContractsError::Unlike {
                        set: set.name.clone(),
                        file: name,
                        what,
                    });
                }
                continue;
            }
            match added.get(&name) {
                Some(other) if says(&other.encoded) == says(&encoded) => {}
                Some(other) => {
                    return Err(ContractsError::Differ {
                        first: other.set.clone(),
                        second: set.name.clone(),
                        file: name,
                    });
                }
                None => {
                    let set = set.name.clone();
                    added.insert(name, Added { encoded, set });
                }
            }
        }
    }

    let file = added.values().map(|added| added.encoded.clone()).collect();
    let sources: HashMap<String, String> = added
        .into_iter()
        .map(|(name, added)| (name, added.set))
        .collect();
    let mut pool = compiled_in.clone();
    pool.decode_file_descriptor_set(EncodedFiles { file }.encode_to_vec().as_slice())
        .map_err(|error| {
            let file = error.file().unwrap_or_default();
            ContractsError::Unlinked {
                set: sources.get(file).cloned().unwrap_or_default(),
                file: file.to_owned(),
                cause: error.to_string(),
            }
        })?;
    Ok(Merged { pool, sources })
}

/// What reflection shows beside the contracts that are compiled in: the files of the folder with a method for clients, and what they import.
pub(super) fn reflected(
    pool: &DescriptorPool,
    sources: &HashMap<String, String>,
) -> Result<Vec<u8>, ContractsError> {
    let mut seen = BTreeSet::new();
    for file in pool.files() {
        let levels = levels(&file);
        if sources.contains_key(file.name()) && levels.iter().any(|level| *level != Level::Mesh) {
            see(&file, file.name(), &mut seen)?;
        }
    }
    let files = pool.files().filter(|file| seen.contains(file.name()));
    let file = files.map(|file| file.encode_to_vec().into()).collect();
    Ok(EncodedFiles { file }.encode_to_vec())
}

fn see(
    file: &FileDescriptor,
    seen_by: &str,
    seen: &mut BTreeSet<String>,
) -> Result<(), ContractsError> {
    if !seen.insert(file.name().to_owned()) {
        return Ok(());
    }
    if levels(file).contains(&Level::Mesh) {
        return Err(ContractsError::MeshSeen {
            file: file.name().to_owned(),
            seen_by: seen_by.to_owned(),
        });
    }
    for import in file.dependencies() {
        see(&import, seen_by, seen)?;
    }
    Ok(())
}

/// Who may call the methods of a file.
fn levels(file: &FileDescriptor) -> Vec<Level> {
    let level = |method: MethodDescriptor| access::of(&method).unwrap_or_default().level();
    file.services()
        .flat_map(|service| service.methods().map(level).collect::<Vec<_>>())
        .collect()
}

/// The encoded fields of a file that say something to a program; none where it is malformed.
fn says(mut file: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !file.is_empty() {
        let begin = file;
        let (number, kind) = decode_key(&mut file).ok()?;
        skip_field(kind, number, &mut file, DecodeContext::default()).ok()?;
        if number != COMMENTS && number < NOTES {
            fields.push(&begin[..begin.len() - file.len()]);
        }
    }
    Some(fields)
}
