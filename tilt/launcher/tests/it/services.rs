//! Services that are shell scripts, in a topology of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use launcher::{Stack, StackOptions};

use crate::{Folder, options};

const TOPOLOGY: &str = "
every_service: {env: {}, settings: {}}
topics: []
processes:
  one: {kind: service, port: 1, admin_port: 2, readiness: /readyz, env: {GREETING: 'hello ${self.port}'}}
";

fn with_script(folder: &Folder, script: &str) -> StackOptions {
    fs::create_dir_all(folder.0.join("tilt")).unwrap();
    fs::create_dir_all(folder.0.join("bin")).unwrap();
    fs::write(folder.0.join("tilt/stack.yaml"), TOPOLOGY).unwrap();
    let program = folder.0.join("bin/one");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    StackOptions::for_test(&folder.0, folder.0.join(".dev"), folder.0.join("bin"))
}

#[test]
fn a_death_before_the_first_readiness_ends_it_all_with_the_end_of_the_log() {
    let folder = Folder::new();
    let Err(error) = Stack::start(with_script(
        &folder,
        "#!/bin/sh\necho \"$GREETING, and goodbye\"\nexit 3\n",
    )) else {
        panic!("it started")
    };
    let error = format!("{error:#}");
    assert!(
        error.contains("one ended before it was ready, exit status: 3"),
        "{error}"
    );
    assert!(error.contains(", and goodbye"), "{error}");
}

#[test]
fn a_program_that_is_not_built_is_named() {
    let folder = Folder::new();
    let options = with_script(&folder, "");
    fs::remove_file(folder.0.join("bin/one")).unwrap();
    let Err(error) = Stack::start(options) else {
        panic!("it started")
    };
    assert!(
        format!("{error:#}").contains("bin/one is not built: run ./dev up"),
        "{error:#}"
    );
}

#[test]
fn a_service_that_never_answers_ends_when_the_stack_is_stopped() {
    let folder = Folder::new();
    let stack = Stack::launch(with_script(&folder, "#!/bin/sh\nexec sleep 60\n")).unwrap();
    stack.stop().unwrap();
}

#[test]
fn an_unknown_process_is_refused_with_those_that_exist() {
    let folder = Folder::new();
    let Err(error) = Stack::launch(options(&folder, &["gatway"])) else {
        panic!("it started")
    };
    assert!(
        error
            .to_string()
            .contains("no process `gatway`: tilt/stack.yaml has auth"),
        "{error}"
    );
}
