use std::path::Path;

use protox::Compiler;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use super::folder::Set;
use super::*;
use crate::config::BoundConfig;
use crate::limits::Limits;
use crate::plan::{Plan, PlanError};

const OPTIONS: &str = "grimoire/options/v1/options.proto";

/// Files that are not on a disk.
struct Sources(Vec<(String, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let mut files = self.0.iter();
        match files.find(|(known, _)| known == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// What a compiler makes of these files and the contracts' folder.
fn compiler(files: &[(&str, &str)]) -> Compiler {
    let sources = files
        .iter()
        .map(|(name, source)| ((*name).to_owned(), (*source).to_owned()));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(sources.collect()));
    resolver.add(IncludeFileResolver::new(proto()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    compiler
        .open_files(files.iter().map(|(name, _)| name))
        .unwrap();
    compiler
}

fn proto() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")
}

fn set(name: &str, files: &[(&str, &str)]) -> Set {
    Set {
        name: name.to_owned(),
        content: compiler(files).encode_file_descriptor_set().into(),
    }
}

/// A contract of one method with these options.
fn orders(package: &str, options: &str) -> String {
    format!(
        r#"
        syntax = "proto3";
        package {package};
        import "google/api/annotations.proto";
        import "{OPTIONS}";
        service OrderService {{
          option (grimoire.options.v1.upstream) = "orders";
          rpc GetOrder(GetOrderRequest) returns (GetOrderResponse) {{ {options} }}
        }}
        message GetOrderRequest {{ string order = 1; }}
        message GetOrderResponse {{ string name = 1; }}
        "#
    )
}

const PUBLIC: &str = "option (grimoire.options.v1.access) = {level: LEVEL_PUBLIC};";

fn bound(path: &str) -> String {
    format!("{PUBLIC} option (google.api.http) = {{get: \"{path}\"}};")
}

fn folder(sets: Vec<Set>) -> Folder {
    Folder {
        sets,
        ..Folder::default()
    }
}

fn merged(sets: Vec<Set>) -> Result<Contracts, ContractsError> {
    Contracts::with(
        grimoire_proto::descriptors(),
        &folder(sets),
        &BTreeMap::new(),
    )
}

fn planned(sets: Vec<Set>) -> Result<Plan, PlanError> {
    let bounds = BoundConfig {
        max_body: 1 << 20,
        max_head: 32_768,
        deadline: 10_000,
    };
    Plan::compile(&merged(sets).unwrap(), &bounds, &Limits::for_tests(), true)
}

#[track_caller]
fn refusal<T>(outcome: Result<T, impl std::fmt::Display>) -> String {
    outcome.err().map(|error| error.to_string()).unwrap()
}

#[track_caller]
fn names(refusal: &str, what: &[&str]) {
    for what in what {
        assert!(refusal.contains(what), "{refusal}: it names {what}");
    }
}

#[test]
fn a_folder_adds_routes_and_those_that_are_compiled_in_stay() {
    let source = orders("acme.v1", &bound("/v1/orders/{order}"));
    let plan = planned(vec![set("orders.binpb", &[("acme/orders.proto", &source)])]).unwrap();
    let route = plan.rpc("/acme.v1.OrderService/GetOrder").unwrap();
    assert_eq!(route.source.as_deref(), Some("orders.binpb"));
    assert!(plan.upstreams().contains("orders"));
    assert!(plan.services().contains("acme.v1.OrderService"));
    let known = plan.rpc("/grimoire.user.v1.ProfileService/GetProfile");
    assert!(known.unwrap().source.is_none());
    let table: serde_json::Value = serde_json::from_str(&plan.table()).unwrap();
    assert_eq!(table["hash"], plan.hash);
    let routes = table["routes"].as_array().unwrap();
    let source = |rpc: &str| {
        let row = routes.iter().find(|row| row["rpc"] == rpc).unwrap();
        row["source"].clone()
    };
    assert_eq!(source("acme.v1.OrderService/GetOrder"), "orders.binpb");
    assert_eq!(
        source("grimoire.auth.v1.SessionService/Login"),
        "compiled in"
    );
}

#[test]
fn a_path_that_is_bound_already_is_refused_with_both_names() {
    let first = orders("acme.v1", &bound("/v1/orders/{order}"));
    let second = orders("other.v1", &bound("/v1/orders/{order}"));
    let error = refusal(planned(vec![
        set("a.binpb", &[("acme.proto", &first)]),
        set("b.binpb", &[("other.proto", &second)]),
    ]));
    names(
        &error,
        &[
            "acme.v1.OrderService/GetOrder (a.binpb)",
            "other.v1.OrderService/GetOrder (b.binpb)",
            "GET /v1/orders/{order}",
        ],
    );
}

#[test]
fn no_path_of_a_folder_takes_requests_from_what_is_compiled_in() {
    for path in ["/v1/users/{order}", "/v1/users/me", "/v1/{order=**}"] {
        let source = orders("acme.v1", &bound(path));
        let error = refusal(planned(vec![set("a.binpb", &[("acme.proto", &source)])]));
        names(
            &error,
            &["acme.v1.OrderService/GetOrder (a.binpb)", "grimoire."],
        );
    }
    let verb = orders("acme.v1", &bound("/v1/users/{order}:count"));
    assert!(planned(vec![set("a.binpb", &[("acme.proto", &verb)])]).is_ok());
}

#[test]
fn a_method_that_does_not_say_who_may_call_it_is_refused_with_its_set() {
    let error = refusal(planned(vec![set(
        "a.binpb",
        &[("acme.proto", &orders("acme.v1", ""))],
    )]));
    names(
        &error,
        &["acme.v1.OrderService/GetOrder (a.binpb)", "no access"],
    );
}

#[test]
fn what_the_gateway_serves_itself_is_nobody_elses() {
    let health = r#"
        syntax = "proto3";
        package grpc.health.v1;
        import "grimoire/options/v1/options.proto";
        service Health {
          option (grimoire.options.v1.upstream) = "orders";
          rpc Check(Question) returns (Question) {
            option (grimoire.options.v1.access) = {level: LEVEL_PUBLIC};
          }
        }
        message Question {}
        "#;
    let error = refusal(planned(vec![set("a.binpb", &[("health.proto", health)])]));
    names(&error, &["grpc.health.v1.Health/Check (a.binpb)"]);
    let own = orders("acme.v1", PUBLIC).replace("\"orders\"", "\"self\"");
    let error = refusal(planned(vec![set("a.binpb", &[("acme.proto", &own)])]));
    names(
        &error,
        &["acme.v1.OrderService/GetOrder (a.binpb)", "`self`"],
    );
}

#[test]
fn a_file_that_several_sets_have_is_one_where_they_say_the_same() {
    let source = orders("acme.v1", PUBLIC);
    let files = [("acme.proto", source.as_str())];
    // Comments are not what a file says.
    let mut bare = compiler(&files);
    let bare = bare.include_source_info(false).encode_file_descriptor_set();
    let bare = Set {
        name: "b.binpb".to_owned(),
        content: bare.into(),
    };
    assert!(merged(vec![set("a.binpb", &files), bare]).is_ok());

    let other = orders("acme.v1", &bound("/v1/orders/{order}"));
    let error = refusal(merged(vec![
        set("a.binpb", &files),
        set("b.binpb", &[("acme.proto", &other)]),
    ]));
    names(&error, &["a.binpb", "b.binpb", "acme.proto"]);
}

#[test]
fn a_set_may_have_an_older_copy_of_a_compiled_in_file_and_no_newer_one() {
    let now = std::fs::read_to_string(proto().join(OPTIONS)).unwrap();
    let source = orders("acme.v1", PUBLIC);
    let with = |options: &str| {
        merged(vec![set(
            "a.binpb",
            &[(OPTIONS, options), ("acme.proto", &source)],
        )])
    };
    let older = now.replace("bool fresh_trust = 4;", "");
    assert!(older != now && with(&older).is_ok());
    let newer = now.replace(
        "bool fresh_trust = 4;",
        "bool fresh_trust = 4; bool new = 99;",
    );
    names(&refusal(with(&newer)), &["a.binpb", OPTIONS, "Edge.new"]);
    let other = now.replace("bool fresh_trust = 4;", "string fresh_trust = 4;");
    names(&refusal(with(&other)), &["a.binpb", "Edge.fresh_trust"]);
}

#[test]
fn names_that_are_compiled_in_cannot_be_defined_anew() {
    let source = r#"
        syntax = "proto3";
        package grimoire.user.v1;
        message Profile {}
        "#;
    let error = refusal(merged(vec![set("a.binpb", &[("acme.proto", source)])]));
    names(
        &error,
        &["a.binpb", "acme.proto", "grimoire.user.v1.Profile"],
    );
}

#[test]
fn a_file_is_refused_where_it_is_no_set_or_lacks_an_import() {
    for content in ["", "syntax = \"proto3\";"] {
        let broken = Set {
            name: "a.binpb".to_owned(),
            content: content.into(),
        };
        names(&refusal(merged(vec![broken])), &["a.binpb", "buf build"]);
    }
    let shared = "syntax = \"proto3\"; package acme.v1; message Money {}";
    let user = r#"
        syntax = "proto3";
        package acme.v1;
        import "money.proto";
        message Price { Money money = 1; }
        "#;
    let mut compiler = compiler(&[("money.proto", shared), ("price.proto", user)]);
    compiler.include_imports(false);
    let files = compiler.file_descriptor_set().file.into_iter();
    let files = files.filter(|file| file.name() == "price.proto").collect();
    let alone = prost_reflect::prost_types::FileDescriptorSet { file: files };
    let lacking = Set {
        name: "a.binpb".to_owned(),
        content: prost::Message::encode_to_vec(&alone).into(),
    };
    names(
        &refusal(merged(vec![lacking])),
        &["a.binpb", "money.proto", "--include_imports"],
    );
}

#[test]
fn reflection_shows_what_clients_may_call_and_no_mesh_method() {
    let public = orders("acme.v1", PUBLIC);
    let mesh = orders(
        "acme.mesh.v1",
        "option (grimoire.options.v1.access) = {level: LEVEL_MESH};",
    );
    let contracts = merged(vec![set(
        "a.binpb",
        &[("acme.proto", &public), ("mesh.proto", &mesh)],
    )])
    .unwrap();
    let shown = DescriptorPool::decode(contracts.reflected.as_slice()).unwrap();
    assert!(shown.get_service_by_name("acme.v1.OrderService").is_some());
    assert!(shown.get_file_by_name(OPTIONS).is_some());
    assert!(shown.get_file_by_name("mesh.proto").is_none());

    let both = public.replace(
        "message GetOrderRequest {",
        "service Inner { rpc Get(GetOrderRequest) returns (GetOrderResponse) {
           option (grimoire.options.v1.access) = {level: LEVEL_MESH}; } }
         message GetOrderRequest {",
    );
    let error = refusal(merged(vec![set("a.binpb", &[("both.proto", &both)])]));
    names(&error, &["both.proto", "MESH"]);
}

#[test]
fn an_upstream_that_has_an_address_keeps_it() {
    let address: Uri = "http://elsewhere:1".parse().unwrap();
    let configured = BTreeMap::from([("auth".to_owned(), address.clone())]);
    for name in ["auth", "self"] {
        let folder = Folder {
            upstreams: BTreeMap::from([(name.to_owned(), address.clone())]),
            ..Folder::default()
        };
        let contracts = Contracts::with(grimoire_proto::descriptors(), &folder, &configured);
        names(&refusal(contracts), &["upstreams.yaml", name]);
    }
}
