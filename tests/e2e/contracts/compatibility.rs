//! The contracts by buf, which buf.yaml configures: their style, and that they break nobody who was built with those of the last release. What
//! buf does not see, which are our options, is in `promises`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use prost_reflect::DescriptorPool;
use tests::stack::root;

use super::promises;

/// The contracts of the last release, as buf has built them. proto/README.md says who renews it.
const RELEASED: &str = "proto/released.binpb";
const BREAKING: [&str; 3] = ["breaking", "--against", RELEASED];
const FORMAT: [&str; 3] = ["format", "--diff", "--exit-code"];

const PROFILES: &str = "grimoire/user/v1/profile_service.proto";

/// What buf has to find: a file, what stands in it, what in its stead, the check, and what that says.
const PLANTED: [(&str, &str, &str, &[&str], &str); 9] = [
    (
        PROFILES,
        "  string bio = 3;\n",
        "",
        &BREAKING,
        "Previously present field \"3\" with name \"bio\"",
    ),
    (
        PROFILES,
        "string bio = 3",
        "string bio = 33",
        &BREAKING,
        "Previously present field \"3\"",
    ),
    (
        PROFILES,
        "string bio = 3",
        "bytes bio = 3",
        &BREAKING,
        "changed type from \"string\" to \"bytes\"",
    ),
    (
        PROFILES,
        "string bio = 3",
        "string biography = 3",
        &BREAKING,
        "changed name from \"bio\" to \"biography\"",
    ),
    (
        PROFILES,
        "rpc GetProfile(",
        "rpc FetchProfile(",
        &BREAKING,
        "Previously present RPC \"GetProfile\"",
    ),
    (
        "grimoire/errors/v1/reason.proto",
        "REASON_WEAK_PASSWORD",
        "REASON_POOR_PASSWORD",
        &BREAKING,
        "changed name from \"REASON_WEAK_PASSWORD\"",
    ),
    (
        "grimoire/events/v1/account_events.proto",
        "string session_id = 2;",
        "reserved 2;",
        &BREAKING,
        "with name \"session_id\"",
    ),
    (
        PROFILES,
        "  // At most 2,000 characters.\n",
        "",
        &["lint"],
        "should have a non-empty comment",
    ),
    (
        PROFILES,
        "  string bio = 3;",
        "    string bio = 3;",
        &FORMAT,
        "+  string bio = 3;",
    ),
];

/// What the options of a release promise and what [`promises::broken`] has to find: a file, what stands in it, what in its stead, and whose promise
/// is broken.
const OPTIONS: [(&str, &str, &str, &str); 5] = [
    (
        PROFILES,
        "get: \"/v1/users/{user}\"",
        "get: \"/v1/people/{user}\"",
        "grimoire.user.v1.ProfileService.GetProfile: GET /v1/users/{user}",
    ),
    (
        PROFILES,
        "response_body: \"profile\"",
        "response_body: \"\"",
        "grimoire.user.v1.ProfileService.GetProfile: GET /v1/users/{user}",
    ),
    (
        "grimoire/auth/v1/session_service.proto",
        "level: LEVEL_PUBLIC",
        "level: LEVEL_SIGNED_IN",
        "grimoire.auth.v1.SessionService.Login: who may call",
    ),
    (
        "grimoire/auth/v1/directory_service.proto",
        "callers: ",
        "roles: ",
        "grimoire.auth.v1.DirectoryService.LookupAccounts: who may call",
    ),
    (
        "grimoire/errors/v1/reason.proto",
        "http_status: 400",
        "http_status: 422",
        "REASON_MALFORMED_JSON: what it means",
    ),
];

#[test]
fn the_contracts_are_written_as_buf_wants_and_break_nobody() {
    for check in [&["lint"][..], &FORMAT[..], &BREAKING[..]] {
        let Some(output) = buf(&root(), check) else {
            return;
        };
        let said = said(&output);
        assert!(output.status.success(), "buf {}\n{said}", check.join(" "));
    }
}

#[test]
fn the_routes_the_access_and_the_codes_of_a_release_stay() {
    let broken = promises::broken(&released(), grimoire_proto::descriptors());
    assert_eq!(broken, [""; 0]);
}

#[test]
fn a_change_that_breaks_somebody_is_found() {
    for (number, (file, before, after, check, expected)) in PLANTED.into_iter().enumerate() {
        let folder = changed(&format!("planted-{number}"), file, before, after);
        let Some(output) = buf(&folder, check) else {
            return;
        };
        let said = said(&output);
        assert!(
            !output.status.success() && said.contains(expected),
            "{before} -> {after}: {said}"
        );
        fs::remove_dir_all(folder).expect("the folder is ours");
    }
}

#[test]
fn an_option_that_breaks_somebody_is_found() {
    for (number, (file, before, after, expected)) in OPTIONS.into_iter().enumerate() {
        let folder = changed(&format!("option-{number}"), file, before, after);
        let Some(output) = buf(&folder, &["build", "--output", "changed.binpb"]) else {
            return;
        };
        assert!(output.status.success(), "{}", said(&output));
        let changed = fs::read(folder.join("changed.binpb")).expect("what buf has built");
        let changed = DescriptorPool::decode(&*changed).expect("descriptors");
        let broken = promises::broken(&released(), &changed);
        assert!(
            broken.iter().any(|promise| promise.starts_with(expected)),
            "{before} -> {after}: {broken:?}"
        );
        fs::remove_dir_all(folder).expect("the folder is ours");
    }
}

fn released() -> DescriptorPool {
    let image = fs::read(root().join(RELEASED)).expect("the contracts of the last release");
    DescriptorPool::decode(&*image).expect("descriptors")
}

/// A copy of the contracts with one change.
fn changed(name: &str, file: &str, before: &str, after: &str) -> PathBuf {
    let folder = root().join(format!(".dev/test/contracts-{}-{name}", std::process::id()));
    copy(&root().join("proto"), &folder.join("proto"));
    fs::copy(root().join("buf.yaml"), folder.join("buf.yaml")).expect("a copy");
    let file = folder.join("proto").join(file);
    let text = fs::read_to_string(&file).expect("a contract");
    assert!(text.contains(before), "{} has no {before}", file.display());
    fs::write(&file, text.replace(before, after)).expect("a file");
    folder
}

/// Copies the contracts of a folder and those below.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "proto" || kind == "binpb")
        {
            fs::copy(&path, &to).expect("a copy");
        }
    }
}

/// Runs buf in a folder; none where there is no buf.
fn buf(folder: &Path, arguments: &[&str]) -> Option<Output> {
    let program = root().join("tests/browser/node_modules/.bin/buf");
    if !program.is_file() {
        eprintln!(
            "the contracts were not checked by buf, for there is no {}: ./dev test installs it where there is npm",
            program.display()
        );
        return None;
    }
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    Some(command.output().expect("buf runs where there is Node.js"))
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
