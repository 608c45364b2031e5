//! Reflection of what a server serves, and of no other service's contracts.

use std::collections::BTreeSet;

use grimoire_proto::{DESCRIPTOR_SET, descriptors};
use prost::Message as _;
use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

const HEALTH: &str = "grpc.health.v1.Health";

/// Serves reflection (v1, and v1alpha for older clients) of the files that `services` need, and of health.
pub(super) fn add(routes: Routes, services: &BTreeSet<&'static str>) -> Result<Routes, Error> {
    // Lives as long as the server, which is as long as the process.
    let files: &'static [u8] = files_of(services).leak();
    // Files that others import may have services of their own, which are not served here.
    let builder = |itself| {
        let listed = services.iter().chain([&HEALTH, itself]);
        listed
            .fold(Builder::configure(), |builder, name| {
                builder.with_service_name(*name)
            })
            .register_encoded_file_descriptor_set(files)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    Ok(routes
        .add_service(builder(&"grpc.reflection.v1.ServerReflection").build_v1()?)
        .add_service(builder(&"grpc.reflection.v1alpha.ServerReflection").build_v1alpha()?))
}

/// A `FileDescriptorSet` whose files stay encoded: decoding would lose the custom options.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// As much of a `FileDescriptorProto` as tells it from others.
#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// The files of `services` and what they import, and what every failure is made of: its reason and its details.
fn files_of(services: &BTreeSet<&'static str>) -> Vec<u8> {
    let pool = descriptors();
    let mut wanted = BTreeSet::new();
    let mut pending: Vec<_> = services
        .iter()
        .filter_map(|name| {
            pool.get_service_by_name(name)
                .map(|service| service.parent_file())
        })
        .chain(
            pool.files()
                .filter(|file| ["grimoire.errors.v1", "google.rpc"].contains(&file.package_name())),
        )
        .collect();
    while let Some(file) = pending.pop() {
        if wanted.insert(file.name().to_owned()) {
            pending.extend(file.dependencies());
        }
    }
    // The set was made by this build; one that cannot be read holds no file that could be kept.
    let mut files = EncodedFiles::decode(DESCRIPTOR_SET).unwrap_or_default();
    files.file.retain(|file| {
        Named::decode(file.as_slice()).is_ok_and(|file| wanted.contains(&file.name))
    });
    files.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(services: &[&'static str]) -> Vec<String> {
        let files =
            EncodedFiles::decode(files_of(&services.iter().copied().collect()).as_slice()).unwrap();
        files
            .file
            .iter()
            .map(|file| Named::decode(file.as_slice()).unwrap().name)
            .collect()
    }

    #[test]
    fn a_service_shows_its_own_files_and_what_they_import() {
        let names = names(&["grimoire.user.v1.ProfileService"]);
        for file in [
            "grimoire/user/v1/profile_service.proto",
            "grimoire/options/v1/options.proto",
            "google/api/http.proto",
            "google/rpc/error_details.proto",
        ] {
            assert!(names.iter().any(|name| name == file), "{file} of {names:?}");
        }
        assert!(
            !names.iter().any(|name| name.starts_with("grimoire/auth/")),
            "{names:?}"
        );
    }
}
