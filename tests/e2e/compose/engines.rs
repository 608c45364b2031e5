//! Engines are those of ./dev.

use super::files::{File, MAIN};
use super::text;

#[test]
fn kafka_is_of_the_version_of_dev_and_set_up_in_the_same_way() {
    let file = File::read(MAIN);
    let kafka = file.service("kafka");
    let pom = text("tilt/kafka/pom.xml");
    let version = pom
        .split_once("<artifactId>kafka_2.13</artifactId>")
        .and_then(|(_, rest)| rest.split_once("<version>")?.1.split_once("</version>"))
        .map(|(version, _)| version)
        .expect("a version of Kafka");
    assert_eq!(kafka.image(), format!("apache/kafka:{version}"));

    let mut environment = kafka.environment();
    // Of the image and of Java.
    for variable in ["CLUSTER_ID", "KAFKA_HEAP_OPTS"] {
        environment.remove(variable).expect(variable);
    }
    let properties = text("tilt/kafka/server.properties");
    for line in properties.lines() {
        let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let variable = format!("KAFKA_{}", name.to_uppercase().replace('.', "_"));
        let own = environment.remove(&variable);
        let own = own.unwrap_or_else(|| panic!("{variable} is missing"));
        // Addresses and folders are others.
        if !value.contains('{') {
            assert_eq!(own, value, "{variable}");
        }
    }
    assert!(
        environment.is_empty(),
        "tilt/kafka/server.properties lacks {environment:?}"
    );
}
