//! What Prometheus itself says of the configuration and the rules.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dashboards::room;

fn promtool(words: &[&str], files: &[PathBuf]) {
    let output = Command::new("promtool").args(words).args(files).output();
    let output = output.unwrap_or_else(|error| {
        panic!("promtool cannot be started: {error}. It is in Debian's package: apt-get install prometheus (macOS: brew install prometheus)")
    });
    assert!(
        output.status.success(),
        "promtool {}:\n{}{}",
        words.join(" "),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn files_in(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(room().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files
}

#[test]
fn prometheus_takes_the_configuration_and_every_rule() {
    promtool(
        &["check", "config"],
        &[room().join("prometheus/prometheus.yaml")],
    );
    promtool(&["check", "rules"], &files_in("prometheus/rules"));
}

#[test]
fn alerts_fire_and_stay_silent_as_their_tests_say() {
    promtool(&["test", "rules"], &files_in("prometheus/tests"));
}
