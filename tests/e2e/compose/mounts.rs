//! What containers mount is there, and secrets are their service's alone.

use std::collections::BTreeSet;

use tests::stack::root;

use super::files::{File, MAIN, TEST};
use super::{migration, topology};

#[test]
fn what_is_mounted_from_the_repository_is_there() {
    for name in [MAIN, TEST] {
        for (service, definition) in File::read(name).services() {
            for (source, _) in definition.mounts() {
                let there = !source.starts_with('.') || root().join(source).exists();
                assert!(there, "{name}: {service} mounts {source}");
            }
        }
    }
}

#[test]
fn each_volume_is_declared_and_used() {
    let files = [MAIN, TEST].map(File::read);
    let declared: BTreeSet<&str> = files.iter().flat_map(|file| file.volumes()).collect();
    let used: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| file.services())
        .flat_map(|(_, service)| service.mounts())
        .map(|(source, _)| source)
        .filter(|source| !source.starts_with(['.', '/']))
        .collect();
    assert_eq!(declared, used);
}

#[test]
fn a_secret_is_in_a_volume_that_its_service_alone_has_after_the_setup() {
    let (file, topology) = (File::read(MAIN), topology());
    for (name, process) in topology.services() {
        let volume = format!("{name}-secrets");
        let with_it: BTreeSet<&str> = file
            .services()
            .filter(|(_, service)| service.mounts().iter().any(|(source, _)| *source == volume))
            .map(|(name, _)| name)
            .collect();
        let migration = migration(name);
        let expected = match process.database {
            Some(_) => BTreeSet::from([name.as_str(), migration.as_str(), "setup"]),
            None => BTreeSet::new(),
        };
        assert_eq!(with_it, expected, "{volume}");

        let there = format!("/secrets/{name}");
        for container in expected {
            let service = file.service(container);
            let place = if container == "setup" {
                there.as_str()
            } else {
                "/secrets"
            };
            assert!(
                service.mounts().contains(&(volume.as_str(), place)),
                "{container} has {volume} at {place}"
            );
            let files = service.written().into_iter();
            for (variable, path) in files.filter(|(variable, _)| variable.ends_with("_FILE")) {
                let named = path.strip_prefix("/secrets/");
                assert!(named.is_some(), "{container}: {variable} is {path}");
            }
        }
    }
}
