//! Lines with grpcurl, run or not: what they call is in the contracts, takes what they send, and is served where they send it.

use grimoire_proto::access::{self, Level};
use grimoire_proto::{descriptors, upstream};
use launcher::topology::Topology;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value;
use tests::stack::root;

use super::blocks::blocks;

/// What every process serves.
const HEALTH: &str = "grpc.health.v1.Health";

#[test]
fn a_call_by_grpcurl_fits_the_contracts() {
    let mut lines = 0;
    for block in blocks().iter().filter(|block| block.info.starts_with("sh")) {
        let whole = block.text.replace("\\\n", " ");
        for line in whole.lines().filter(|line| line.starts_with("grpcurl ")) {
            check(line).unwrap_or_else(|wrong| panic!("{}: {line}\n{wrong}", block.document));
            lines += 1;
        }
    }
    assert!(lines > 0);
}

fn check(line: &str) -> Result<(), String> {
    let mut data = None;
    let mut rest = Vec::new();
    // What the shell does with the output is not grpcurl's.
    let words = words(line).into_iter().skip(1);
    let mut words = words.take_while(|word| !["|", "||", "2>&1"].contains(&word.as_str()));
    while let Some(word) = words.next() {
        match word.as_str() {
            "-plaintext" => {}
            "-max-time" => {
                let seconds = words.next().unwrap_or_default();
                let seconds = seconds.parse::<f64>();
                seconds.map_err(|error| format!("-max-time takes seconds: {error}"))?;
            }
            "-H" => {
                let header = words.next().unwrap_or_default();
                let (name, _) = header.split_once(": ").ok_or("-H takes `name: value`")?;
                let known = [
                    "authorization",
                    "grimoire-subject",
                    "grimoire-session",
                    "grimoire-roles",
                ];
                if !known.contains(&name.to_lowercase().as_str()) {
                    return Err(format!("nobody reads the header {name}"));
                }
            }
            "-d" => data = words.next(),
            option if option.starts_with('-') => return Err(format!("{option} is not known here")),
            _ => rest.push(word),
        }
    }
    let [address, what @ ..] = &rest[..] else {
        return Err("there is no address".into());
    };
    let server = server(address)?;
    match what {
        [list] if list == "list" => Ok(()),
        [list, service] if list == "list" => {
            let known = descriptors().get_service_by_name(service).is_some();
            known
                .then_some(())
                .ok_or_else(|| format!("there is no {service}"))
        }
        [describe, symbol] if describe == "describe" => {
            let known = descriptors().get_service_by_name(symbol).is_some()
                || descriptors().get_message_by_name(symbol).is_some();
            known
                .then_some(())
                .ok_or_else(|| format!("there is no {symbol}"))
        }
        [method] => call(&server, method, data.as_deref().unwrap_or("{}")),
        _ => Err("more than one call".into()),
    }
}

/// The process whose port the address has.
fn server(address: &str) -> Result<String, String> {
    let (host, port) = address.split_once(':').ok_or("the address has no port")?;
    if !["localhost", "127.0.0.1"].contains(&host) {
        return Err(format!("{host} is not this machine"));
    }
    let topology = Topology::read(&root()).map_err(|error| format!("{error:#}"))?;
    let named = topology
        .services()
        .find(|(_, process)| process.port.is_some_and(|known| known.to_string() == port));
    named
        .map(|(name, _)| name.clone())
        .ok_or_else(|| format!("no service has port {port}"))
}

fn call(server: &str, name: &str, json: &str) -> Result<(), String> {
    let method = method(name).ok_or_else(|| format!("there is no method {name}"))?;
    let served = if method.parent_service().full_name() == HEALTH {
        true
    } else if server == "gateway" {
        let access = access::of(&method).ok_or("no access option")?;
        access.level() != Level::Mesh
    } else {
        upstream::of(method.parent_service()).as_deref() == Some(server)
    };
    if !served {
        return Err(format!("{server} does not serve {name}"));
    }
    DynamicMessage::deserialize(method.input(), mapped(json)?)
        .map(drop)
        .map_err(|error| format!("{json} is no {}: {error}", method.input().full_name()))
}

/// The JSON of protobuf's mapping, which grpcurl does not know for masks: it takes one as the message that it is.
fn mapped(json: &str) -> Result<Value, String> {
    let mut value: Value =
        serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))?;
    if let Some(mask) = value.get_mut("updateMask") {
        let paths = mask["paths"].as_array();
        let paths = paths.ok_or("grpcurl takes a mask as {\"paths\": [...]}")?;
        let paths = paths.iter().filter_map(Value::as_str);
        let paths: Vec<String> = paths.map(lower_camel_case).collect();
        *mask = Value::from(paths.join(","));
    }
    Ok(value)
}

/// `time_zone` as `timeZone`.
fn lower_camel_case(path: &str) -> String {
    let mut words = path.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.len().min(1));
        name.push_str(&first.to_uppercase());
        name.push_str(rest);
    }
    name
}

fn method(name: &str) -> Option<MethodDescriptor> {
    let (service, method) = name.split_once('/')?;
    let service = if service == HEALTH {
        let health = DescriptorPool::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).ok()?;
        health.get_service_by_name(service)?
    } else {
        descriptors().get_service_by_name(service)?
    };
    service.methods().find(|known| known.name() == method)
}

/// The words of a line as a shell splits them: quotes and backslashes, variables left as they are.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (_, Some(open)) if letter == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().extend(letters.next()),
            (' ', None) => words.extend(word.take()),
            ('#', None) if word.is_none() => break,
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn a_line_is_split_as_a_shell_does() {
    assert_eq!(
        words(r#"a -H "b: $c"  -d '{"d": "e"}' "{\"f\": 1}" # g"#),
        ["a", "-H", "b: $c", "-d", r#"{"d": "e"}"#, r#"{"f": 1}"#]
    );
}

#[test]
fn a_wrong_call_is_found() {
    for (line, wrong) in [
        (
            "grpcurl -plaintext localhost:5000 grimoire.user.v1.ProfileService/GetPorfile",
            "no method",
        ),
        (
            "grpcurl -plaintext localhost:1 list",
            "no service has port 1",
        ),
        (
            "grpcurl -plaintext localhost:5000 grimoire.auth.v1.DirectoryService/LookupAccounts",
            "gateway does not serve",
        ),
        (
            r#"grpcurl -plaintext -d '{"usr":"me"}' localhost:50052 grimoire.user.v1.ProfileService/GetProfile"#,
            "is no grimoire.user.v1.GetProfileRequest",
        ),
        (
            r#"grpcurl -plaintext -d '{"updateMask":"bio"}' localhost:50052 grimoire.user.v1.ProfileService/UpdateProfile"#,
            "takes a mask as",
        ),
        (
            "grpcurl -plaintext localhost:5000 grpc.health.v1.Health/Look || true",
            "no method",
        ),
    ] {
        let found = check(line).expect_err(line);
        assert!(found.contains(wrong), "{found}");
    }
}
