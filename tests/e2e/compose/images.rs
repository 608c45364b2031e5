//! The Dockerfile makes an image for each service, of what the workspace is made of, and all name it alike.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{File, MAIN};
use super::{text, topology, yaml};

/// A stage of the Dockerfile.
struct Stage {
    name: String,
    base: String,
    /// Its instructions, each on one line.
    lines: Vec<String>,
}

fn stages() -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for line in text("Dockerfile").replace("\\\n", " ").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["FROM", base, "AS", name] = words[..] {
            stages.push(Stage {
                name: name.to_owned(),
                base: base.to_owned(),
                lines: Vec::new(),
            });
        } else if let Some(stage) = stages.last_mut() {
            stage.lines.push(words.join(" "));
        }
    }
    stages
}

#[test]
fn the_dockerfile_has_a_target_for_each_service_and_no_other_that_runs() {
    let stages = stages();
    let mut runs: Vec<&str> = stages
        .iter()
        .filter(|stage| stage.base == "runtime")
        .map(|stage| stage.name.as_str())
        .collect();
    runs.sort_unstable();
    let topology = topology();
    let services: Vec<&str> = topology.services().map(|(name, _)| name.as_str()).collect();
    assert_eq!(runs, services);
}

#[test]
fn the_image_of_a_service_starts_its_program_on_its_ports() {
    let stages = stages();
    for (name, process) in topology().services() {
        let stage = stages.iter().find(|stage| stage.name == *name);
        let lines = &stage.expect("a stage").lines;
        let [port, admin] = [process.port, process.admin_port].map(|port| port.expect("a port"));
        for expected in [
            format!("COPY --from=build /grimoire/target/release/{name} /usr/local/bin/"),
            format!("RUN [\"{name}\", \"--version\"]"),
            format!("EXPOSE {port} {admin}"),
            format!("ENTRYPOINT [\"{name}\"]"),
        ] {
            assert!(lines.contains(&expected), "{name} lacks {expected}");
        }
    }
}

#[test]
fn whom_programs_run_as_is_the_same_wherever_it_is_said() {
    const USER: &str = "65532";
    for (path, said) in [
        ("Dockerfile", format!("USER {USER}:{USER}")),
        ("compose/setup.sh", format!("owner={USER}:{USER}")),
        ("mesh/base/pods.yaml", format!("runAsUser: {USER}")),
    ] {
        assert!(text(path).contains(&said), "{path} lacks {said}");
    }
}

#[test]
fn programs_are_built_by_the_rust_that_the_workspace_names() {
    let toolchain = text("rust-toolchain.toml");
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .expect("a channel");
    let expected = format!("ARG RUST={}", channel.trim_matches('"'));
    let dockerfile = text("Dockerfile");
    assert!(
        dockerfile.lines().any(|line| line == expected),
        "{expected}"
    );
    let tools = stages().into_iter().find(|stage| stage.name == "tools");
    let base = tools.expect("a stage").base;
    assert!(base.starts_with("rust:${RUST}-"), "{base}");
}

#[test]
fn what_cargo_wants_to_see_is_sent_to_the_builder() {
    let ignored = text(".dockerignore");
    let sent: Vec<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let workspace = text("Cargo.toml");
    let (_, members) = workspace.split_once("members = [").expect("members");
    let (members, _) = members.split_once(']').expect("their end");
    for member in members.split('"').skip(1).step_by(2) {
        for part in ["Cargo.toml", "src"] {
            let path = std::path::Path::new(member).join(part);
            let there = sent.iter().any(|sent| path.starts_with(sent));
            assert!(there, ".dockerignore leaves out {}", path.display());
        }
    }
}

#[test]
fn images_have_the_same_names_for_compose_for_mesh_and_for_releases() {
    let names: BTreeSet<String> = topology()
        .services()
        .map(|(name, _)| format!("ghcr.io/grimoire/{name}"))
        .collect();
    let tagged = |tag: &str| -> BTreeMap<String, String> {
        let names = names.iter();
        names.map(|name| (name.clone(), tag.to_owned())).collect()
    };

    let file = File::read(MAIN);
    let ours = file
        .services()
        .filter(|(_, service)| service.target().is_some());
    let composed: BTreeMap<String, String> = ours
        .map(|(_, service)| service.image().split_once(':').expect("a tag"))
        .map(|(name, tag)| (name.to_owned(), tag.to_owned()))
        .collect();
    assert_eq!(composed, tagged("dev"));
    assert_eq!(images_of("kind"), tagged("dev"));

    let workspace = text("Cargo.toml");
    let version = workspace
        .lines()
        .find_map(|line| line.strip_prefix("version = "))
        .expect("a version");
    assert_eq!(images_of("production"), tagged(version.trim_matches('"')));

    let release = yaml(".github/workflows/release.yml");
    let (registry, images) = (&release["env"]["REGISTRY"], &release["env"]["IMAGES"]);
    let (registry, images) = (
        registry.as_str().expect("one"),
        images.as_str().expect("some"),
    );
    let released: BTreeSet<String> = images
        .split(' ')
        .map(|name| format!("{registry}/{name}"))
        .collect();
    assert_eq!(released, names);
}

/// Names and tags that an overlay of mesh/ has images replaced by.
fn images_of(overlay: &str) -> BTreeMap<String, String> {
    let overlay = yaml(&format!("mesh/overlays/{overlay}/kustomization.yaml"));
    let images = overlay["images"].as_array().expect("images");
    images
        .iter()
        .map(|image| {
            let of = |key: &str| image[key].as_str().expect(key).to_owned();
            (of("name"), of("newTag"))
        })
        .collect()
}
