//! Compose itself reads the files as these tests do, where it is installed. It needs no Docker for that.

use std::process::Command;

use serde_json::Value;
use tests::stack::root;

use super::files::{File, MAIN, TEST};

#[test]
fn compose_takes_both_files_and_gives_programs_what_these_tests_think() {
    let Some(compose) = compose() else {
        eprintln!(
            "docker-compose.yml was not read by compose itself, for there is neither docker compose nor docker-compose: \
             apt-get install docker-compose"
        );
        return;
    };
    for files in [&[MAIN][..], &[MAIN, TEST]] {
        let mut command = run(&compose);
        command.args(["--env-file", ".env.example", "--profile", "elk"]);
        for file in files {
            command.arg("--file").arg(file);
        }
        let output = command.arg("config").output().expect("it is installed");
        assert!(
            output.status.success(),
            "{files:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read: Value = serde_norway::from_slice(&output.stdout).expect("YAML");
        for file in files {
            for (name, service) in File::read(file).services() {
                let theirs = &read["services"][name]["environment"];
                for (variable, value) in service.environment() {
                    let their = theirs[&variable].as_str().unwrap_or_default();
                    assert_eq!(their, value, "{name}: {variable}");
                }
            }
        }
    }
}

/// The words that compose is started by.
fn compose() -> Option<Vec<&'static str>> {
    [vec!["docker", "compose"], vec!["docker-compose"]]
        .into_iter()
        .find(|words| {
            let version = run(words).arg("version").output();
            version.is_ok_and(|output| output.status.success())
        })
}

/// With nothing of the environment, which would go before the file.
fn run(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir(root()).env_clear();
    for variable in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
}
