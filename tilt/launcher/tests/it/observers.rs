//! What watches a system is looked after as its processes are.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use launcher::{FreePort, Observer, Signal, Stack, StackOptions, readiness};

use crate::Folder;

const TOPOLOGY: &str = "
every_service: {env: {}, settings: {}}
topics: []
processes: {}
";

/// A Prometheus that watches nothing, and a system that has nothing else.
fn watched(folder: &Folder, port: u16) -> StackOptions {
    let file = folder.0.join("prometheus.yaml");
    fs::create_dir_all(folder.0.join("tilt")).unwrap();
    fs::write(folder.0.join("tilt/stack.yaml"), TOPOLOGY).unwrap();
    fs::write(&file, "scrape_configs: []\n").unwrap();
    let mut options =
        StackOptions::for_test(&folder.0, folder.0.join(".dev"), folder.0.join("bin"));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    options.observers.push(Observer {
        name: "prometheus".to_owned(),
        program: PathBuf::from("prometheus"),
        arguments: vec![
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", folder.0.join("data").display()),
            format!("--web.listen-address={address}"),
        ],
        port,
        admin_port: None,
        readiness: (address, "/-/ready".to_owned()),
    });
    options
}

#[test]
fn what_watches_is_started_again_when_it_dies_and_ends_with_the_system() {
    let folder = Folder::new();
    let port = FreePort::find().unwrap();
    let stack = Stack::start(watched(&folder, port.number())).unwrap();
    let address = stack.address("prometheus").unwrap();
    assert_eq!(readiness::get(address, "/-/ready").unwrap().0, 200);

    stack.kill("prometheus", Signal::SIGKILL).unwrap();
    stack
        .wait_ready_after("prometheus", 0, Duration::from_secs(60))
        .unwrap();

    let again = stack.identity("prometheus").unwrap();
    stack.stop().unwrap();
    assert!(!again.alive());
}

#[test]
fn what_watches_has_a_name_and_ports_of_its_own() {
    let folder = Folder::new();
    let (one, two) = (FreePort::find().unwrap(), FreePort::find().unwrap());
    for (name, port, said) in [
        ("prometheus", two.number(), "the name of another process"),
        ("other", one.number(), "give each a port of its own"),
    ] {
        let mut options = watched(&folder, one.number());
        let mut second = options.observers[0].clone();
        (second.name, second.port) = (name.to_owned(), port);
        options.observers.push(second);
        let Err(error) = Stack::start(options) else {
            panic!("it started")
        };
        assert!(format!("{error:#}").contains(said), "{error:#}");
    }
}
