use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorSet;

use super::*;
use crate::config::Per;

fn bounds() -> BoundConfig {
    BoundConfig {
        max_body: 1 << 20,
        max_head: 32_768,
        deadline: 10_000,
    }
}

fn compiled(pool: &DescriptorPool, reflection: bool) -> Result<Plan, PlanError> {
    let contracts = Contracts::compiled_in(pool);
    Plan::compile(&contracts, &bounds(), &Limits::for_tests(), reflection)
}

fn contracts() -> Plan {
    compiled(grimoire_proto::descriptors(), true).unwrap()
}

fn found(plan: &Plan, method: Method, path: &str) -> Option<String> {
    match plan.http(&method, path) {
        Found::Binding(binding) => Some(binding.route.name.clone()),
        _ => None,
    }
}

#[test]
fn a_path_leads_to_its_rpc() {
    let plan = contracts();
    for (method, path, rpc) in [
        (
            Method::GET,
            "/v1/users/me",
            "grimoire.user.v1.ProfileService/GetProfile",
        ),
        (
            Method::HEAD,
            "/v1/users/me",
            "grimoire.user.v1.ProfileService/GetProfile",
        ),
        (
            Method::PATCH,
            "/v1/users/me",
            "grimoire.user.v1.ProfileService/UpdateProfile",
        ),
        (
            Method::GET,
            "/v1/users/a:b",
            "grimoire.user.v1.ProfileService/GetProfile",
        ),
        (
            Method::GET,
            "/v1/users:search",
            "grimoire.user.v1.ProfileService/SearchProfiles",
        ),
        (
            Method::GET,
            "/v1/users/me/preferences",
            "grimoire.user.v1.PreferencesService/GetPreferences",
        ),
        (
            Method::POST,
            "/v1/sessions:login",
            "grimoire.auth.v1.SessionService/Login",
        ),
        (
            Method::GET,
            "/v1/admin/auditRecords",
            "grimoire.audit.v1.AuditService/ListAuditRecords",
        ),
    ] {
        assert_eq!(found(&plan, method, path).as_deref(), Some(rpc), "{path}");
    }
}

#[test]
fn a_path_that_is_not_bound_is_nothing_and_another_method_is_told() {
    let plan = contracts();
    for path in [
        "/",
        "/v1",
        "/v1/users",
        "/v1/users/",
        "/v1//me",
        "/v1/users/me/",
        "/v1/sessions:nothing",
        "v1/users/me",
    ] {
        assert!(
            matches!(plan.http(&Method::GET, path), Found::Nothing),
            "{path}"
        );
    }
    let Found::OtherMethods(methods) = plan.http(&Method::GET, "/v1/sessions:login") else {
        panic!("a binding for POST")
    };
    assert_eq!(methods, [&Method::POST]);
}

#[test]
fn methods_for_other_processes_are_not_in_the_plan() {
    let plan = contracts();
    assert!(
        plan.rpc("/grimoire.user.v1.ProfileService/GetProfile")
            .is_some()
    );
    assert!(plan.rpc("/grimoire.auth.v1.TrustService/Follow").is_none());
    assert!(
        plan.rpc("/grimoire.user.v1.UserDataService/ProvisionUsers")
            .is_none()
    );
    assert!(!plan.table().contains("TrustService"));
}

#[test]
fn the_edge_option_sets_class_deadline_and_body() {
    let plan = contracts();
    let login = plan.rpc("/grimoire.auth.v1.SessionService/Login").unwrap();
    assert_eq!(
        (login.class.as_ref().map(|class| class.per), login.max_body),
        (Some(Per::Address), 8192)
    );
    assert_eq!(login.deadline, Some(Duration::from_secs(10)));
    let export = plan
        .rpc("/grimoire.auth.v1.AccountService/ExportAccount")
        .unwrap();
    assert_eq!(export.deadline, Some(Duration::from_secs(60)));
    assert_eq!(plan.longest_deadline, Duration::from_secs(10));
    assert!(!login.repeatable);
    let audit = plan
        .rpc("/grimoire.audit.v1.AuditService/ListAuditRecords")
        .unwrap();
    assert!(audit.repeatable && audit.needs_token());
    assert_eq!(audit.access.roles, ["admin"]);
}

#[test]
fn the_upstreams_of_the_routes_are_known_and_the_own_one_is_not_among_them() {
    assert_eq!(
        contracts().upstreams().into_iter().collect::<Vec<_>>(),
        ["auth", "event-consumer", "user"]
    );
}

#[test]
fn without_reflection_there_is_health_alone() {
    let plan = compiled(grimoire_proto::descriptors(), false).unwrap();
    assert!(plan.rpc("/grpc.health.v1.Health/Check").is_some());
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert!(plan.rpc(reflection).is_none());
    assert!(contracts().rpc(reflection).is_some());
}

#[test]
fn two_methods_on_one_path_are_refused_with_both_names() {
    let error = compiled(
        &changed("/v1/users/{user}/preferences", "/v1/users/{user}"),
        true,
    );
    let Err(PlanError::Conflict { first, second, .. }) = error else {
        panic!("a conflict")
    };
    let mut names = [first, second];
    names.sort();
    assert_eq!(
        names,
        [
            "grimoire.user.v1.PreferencesService/GetPreferences",
            "grimoire.user.v1.ProfileService/GetProfile"
        ]
    );
}

#[test]
fn a_path_with_an_unknown_field_is_refused_with_its_name() {
    let error = compiled(
        &changed(
            "/v1/accounts/{account}/sessions",
            "/v1/accounts/{accounx}/sessions",
        ),
        true,
    );
    assert!(matches!(error, Err(PlanError::UnknownField { field, .. }) if field == "accounx"));
}

#[test]
fn what_the_gateway_answers_itself_cannot_be_bound() {
    for path in [
        "/docs/{account}/sessions",
        "/problems/{account}",
        "/{account=**}",
    ] {
        let error = compiled(&changed("/v1/accounts/{account}/sessions", path), true).err();
        assert!(
            matches!(error, Some(PlanError::OwnPage { .. })),
            "{path}: {error:?}"
        );
    }
}

#[test]
fn the_hash_changes_with_anything_that_contracts_say() {
    let hash = contracts().hash;
    assert_eq!((hash.len(), &hash), (16, &contracts().hash));
    let renamed = changed("/v1/users:search", "/v1/users:find");
    assert_ne!(compiled(&renamed, true).unwrap().hash, hash);
    assert_ne!(
        compiled(grimoire_proto::descriptors(), false).unwrap().hash,
        hash
    );
}

#[test]
fn a_class_that_the_configuration_lacks_is_refused_with_what_to_add() {
    let error = compiled(&changed("search", "nobody-has-it"), true);
    let message = error.err().unwrap().to_string();
    for part in [
        "grimoire.user.v1.ProfileService/SearchProfiles",
        "add `nobody-has-it=RATE per address`",
        "GRIMOIRE_LIMIT_CLASSES",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_class_of_accounts_is_refused_where_there_may_be_none() {
    let error = compiled(&changed("credentials", "admin"), true);
    assert!(matches!(error, Err(PlanError::ClassOfNobody { class, .. }) if class == "admin"));
}

/// The contracts with one path replaced in the bytes of the options. Lengths of strings and of what holds them are kept by
/// writing the descriptors anew from a patched dynamic message.
fn changed(from: &str, to: &str) -> DescriptorPool {
    let pool = grimoire_proto::descriptors();
    let set = pool
        .get_message_by_name("google.protobuf.FileDescriptorSet")
        .unwrap();
    let mut set =
        prost_reflect::DynamicMessage::decode(set, grimoire_proto::DESCRIPTOR_SET).unwrap();
    replace(&mut set, from, to);
    let bytes = set.encode_to_vec();
    assert!(FileDescriptorSet::decode(bytes.as_slice()).is_ok());
    DescriptorPool::decode(bytes.as_slice()).unwrap()
}

fn replace(message: &mut prost_reflect::DynamicMessage, from: &str, to: &str) {
    for (_, value) in message.fields_mut() {
        replace_in(value, from, to);
    }
    for (_, value) in message.extensions_mut() {
        replace_in(value, from, to);
    }
}

fn replace_in(value: &mut prost_reflect::Value, from: &str, to: &str) {
    use prost_reflect::Value;
    match value {
        Value::String(text) if text == from => *text = to.to_owned(),
        Value::Message(message) => replace(message, from, to),
        Value::List(values) => values
            .iter_mut()
            .for_each(|value| replace_in(value, from, to)),
        _ => {}
    }
}
