use http::Method;
use prost_reflect::prost::Message as _;
use serde_json::json;

use grimoire_proto::audit::v1::ListAuditRecordsRequest;
use grimoire_proto::auth::v1::LoginRequest;
use grimoire_proto::user::v1::{
    ListActivitiesRequest, Profile, UpdatePreferencesRequest, UpdateProfileRequest,
    UpdateProfileResponse,
};

use super::*;
use crate::config::BoundConfig;
use crate::contracts::Contracts;
use crate::limits::Limits;
use crate::plan::Plan;
use crate::plan::paths::Found;
use crate::transcode::{as_clients_see_them, decode};

fn bound<T>(method: Method, path: &str, test: impl FnOnce(&Binding) -> T) -> T {
    let bounds = BoundConfig {
        max_body: 1 << 20,
        max_head: 32_768,
        deadline: 10_000,
    };
    let limits = Limits::for_tests();
    let plan = Plan::compile(
        &Contracts::compiled_in(grimoire_proto::descriptors()),
        &bounds,
        &limits,
        true,
    )
    .unwrap();
    match plan.http(&method, path) {
        Found::Binding(binding) => test(binding),
        _ => panic!("no binding for {path}"),
    }
}

fn encoded(method: Method, target: &str, body: &str) -> Result<Bytes, Box<Problem>> {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    bound(method, path, |binding| {
        encode(
            binding,
            &Parts {
                path,
                query,
                body: body.as_bytes(),
            },
        )
    })
}

fn refused(method: Method, target: &str, body: &str) -> (String, Vec<(String, String)>) {
    let problem = encoded(method, target, body).unwrap_err();
    let fields = problem
        .violations
        .into_iter()
        .map(|violation| (violation.field, violation.reason))
        .collect();
    (problem.reason.into_owned(), fields)
}

#[test]
fn a_body_becomes_the_message() {
    let body = json!({"email": "ada@example.com", "password": "secret"}).to_string();
    let request =
        LoginRequest::decode(encoded(Method::POST, "/v1/sessions:login", &body).unwrap()).unwrap();
    assert_eq!(
        (request.email.as_str(), request.password.as_str()),
        ("ada@example.com", "secret")
    );
    let none =
        LoginRequest::decode(encoded(Method::POST, "/v1/sessions:login", "").unwrap()).unwrap();
    assert_eq!(none, LoginRequest::default());
}

#[test]
fn path_and_query_become_fields() {
    let target = "/v1/users/a%2Fb:c/activities?pageSize=3&type=LOGGED+IN&page_token=x%3D";
    let request = ListActivitiesRequest::decode(encoded(Method::GET, target, "").unwrap()).unwrap();
    assert_eq!((request.user.as_str(), request.page_size), ("a/b:c", 3));
    assert_eq!(
        (request.r#type.as_str(), request.page_token.as_str()),
        ("LOGGED IN", "x=")
    );
    let target = "/v1/admin/auditRecords?startTime=2026-01-02T03:04:05Z";
    let request =
        ListAuditRecordsRequest::decode(encoded(Method::GET, target, "").unwrap()).unwrap();
    assert_eq!(
        request.start_time.unwrap().to_string(),
        "2026-01-02T03:04:05Z"
    );
}

#[test]
fn a_patch_without_a_mask_changes_what_it_has() {
    let body = json!({"bio": "Analyst", "timeZone": null, "etag": "e", "updateTime": "2026-01-01T00:00:00Z"}).to_string();
    let request =
        UpdateProfileRequest::decode(encoded(Method::PATCH, "/v1/users/me", &body).unwrap())
            .unwrap();
    let mut paths = request.update_mask.unwrap().paths;
    paths.sort();
    assert_eq!(paths, ["bio", "time_zone"]);
    let profile = request.profile.unwrap();
    assert_eq!(
        (
            request.user.as_str(),
            profile.bio.as_str(),
            profile.etag.as_str()
        ),
        ("me", "Analyst", "e")
    );
}

#[test]
fn a_patch_with_a_mask_keeps_it_and_a_wrong_one_is_refused() {
    let target = "/v1/users/me/preferences?updateMask=theme,notifications.productNews";
    let request =
        UpdatePreferencesRequest::decode(encoded(Method::PATCH, target, "{}").unwrap()).unwrap();
    assert_eq!(
        request.update_mask.unwrap().paths,
        ["theme", "notifications.product_news"]
    );
    let (reason, fields) = refused(Method::PATCH, "/v1/users/me?updateMask=nickname", "{}");
    assert_eq!(
        (reason.as_str(), fields[0].0.as_str()),
        ("INVALID_FIELD", "updateMask")
    );
}

#[test]
fn a_patch_of_nothing_has_an_empty_mask() {
    let request =
        UpdateProfileRequest::decode(encoded(Method::PATCH, "/v1/users/me", "{}").unwrap())
            .unwrap();
    assert_eq!(request.update_mask, Some(prost_types::FieldMask::default()));
    assert_eq!(request.profile, Some(Profile::default()));
}

#[test]
fn what_is_not_json_is_told_from_what_is_the_wrong_json() {
    for body in ["{\"email\": ", "nonsense", "{\"a\":1} x", "\u{feff}{}"] {
        assert_eq!(
            refused(Method::POST, "/v1/sessions:login", body).0,
            "MALFORMED_JSON",
            "{body}"
        );
    }
    for body in ["[]", "7", "\"x\"", "null"] {
        assert_eq!(
            refused(Method::POST, "/v1/sessions:login", body).0,
            "INVALID_FIELD",
            "{body}"
        );
    }
}

#[test]
fn unknown_and_wrong_fields_are_named_where_the_client_wrote_them() {
    let field = |name: &str, reason: &str| (name.to_owned(), reason.to_owned());
    let (reason, fields) = refused(
        Method::POST,
        "/v1/accounts:register",
        r#"{"email": 7, "nickname": "a"}"#,
    );
    assert_eq!(reason, "UNKNOWN_FIELD");
    assert_eq!(
        fields,
        [
            field("nickname", "UNKNOWN_FIELD"),
            field("email", "INVALID_FIELD")
        ]
    );
    let body = r#"{"notifications": {"productNews": "yes", "weekly": true}, "theme": "THEME_PINK", "labels": {"a": 1}}"#;
    let (_, mut fields) = refused(Method::PATCH, "/v1/users/me/preferences", body);
    fields.sort();
    assert_eq!(
        fields,
        [
            field("labels", "INVALID_FIELD"),
            field("notifications.productNews", "INVALID_FIELD"),
            field("notifications.weekly", "UNKNOWN_FIELD"),
            field("theme", "INVALID_FIELD"),
        ]
    );
    let (reason, fields) = refused(Method::PATCH, "/v1/users/me", "[]");
    assert_eq!(
        (reason.as_str(), fields[0].0.as_str()),
        ("INVALID_FIELD", "profile")
    );
}

#[test]
fn a_wrong_parameter_is_named() {
    let (reason, fields) = refused(Method::GET, "/v1/users/me/activities?pagesize=3", "");
    assert_eq!(
        (reason.as_str(), fields[0].0.as_str()),
        ("UNKNOWN_FIELD", "pagesize")
    );
    for target in ["/v1/users/me/activities?user=other", "/v1/users/me?x.y=1"] {
        assert_eq!(
            refused(Method::GET, target, "").0,
            "UNKNOWN_FIELD",
            "{target}"
        );
    }
    for target in [
        "/v1/users/me/activities?pageSize=many",
        "/v1/users/me/activities?pageSize=1&pageSize=2",
        "/v1/users/me/activities?type=%zz",
        "/v1/users/%ff/activities",
        "/v1/admin/auditRecords?startTime=yesterday",
    ] {
        assert_eq!(
            refused(Method::GET, target, "").0,
            "INVALID_FIELD",
            "{target}"
        );
    }
    assert_eq!(
        refused(Method::POST, "/v1/sessions:login?email=a", "{}").0,
        "UNKNOWN_FIELD"
    );
    assert_eq!(
        refused(Method::GET, "/v1/users/me", "{}").0,
        "MALFORMED_REQUEST"
    );
}

#[test]
fn a_field_that_is_there_twice_is_refused_by_whatever_names() {
    let twice = |method, target, body| {
        let (reason, fields) = refused(method, target, body);
        assert_eq!(reason, "INVALID_FIELD", "{body}");
        fields[0].0.clone()
    };
    let me = "/v1/users/me";
    assert_eq!(
        twice(Method::PATCH, me, r#"{"bio": "a", "bio": "b"}"#),
        "bio"
    );
    assert_eq!(
        twice(
            Method::PATCH,
            me,
            r#"{"displayName": "A", "display_name": "B"}"#
        ),
        "display_name"
    );
    let login = r#"{"email": "a@example.com", "password": "x", "email": "b@example.com"}"#;
    assert_eq!(twice(Method::POST, "/v1/sessions:login", login), "email");
    let nested = r#"{"notifications": {"productNews": true, "product_news": false}}"#;
    assert_eq!(
        twice(Method::PATCH, "/v1/users/me/preferences", nested),
        "notifications.product_news"
    );
    // Keys of a map are what clients like.
    let labels = r#"{"labels": {"displayName": "a", "display_name": "b"}}"#;
    assert!(encoded(Method::PATCH, "/v1/users/me/preferences", labels).is_ok());
}

#[test]
fn a_deep_body_is_refused_and_not_followed() {
    let body = format!("{}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(
        refused(Method::POST, "/v1/sessions:login", &body).0,
        "MALFORMED_JSON"
    );
}

#[test]
fn numbers_beyond_their_type_are_refused() {
    assert_eq!(
        refused(
            Method::GET,
            "/v1/users/me/activities?pageSize=4294967296",
            ""
        )
        .0,
        "INVALID_FIELD"
    );
}

#[test]
fn an_answer_is_unwrapped_and_has_its_empty_fields() {
    bound(Method::PATCH, "/v1/users/me", |binding| {
        let profile = Profile {
            id: "x".into(),
            ..Profile::default()
        };
        let encoded = UpdateProfileResponse {
            profile: Some(profile),
        }
        .encode_to_vec();
        let json: Value =
            serde_json::from_slice(&decode(binding, encoded.into()).unwrap()).unwrap();
        assert_eq!((&json["id"], &json["bio"]), (&"x".into(), &"".into()));
        assert!(json.get("createTime").is_none(), "{json}");
    });
}

#[test]
fn a_services_violations_read_as_the_client_wrote_the_fields() {
    bound(Method::PATCH, "/v1/users/me", |binding| {
        let mut problem =
            Problem::field(Reason::InvalidField, "profile.display_name", "is too long");
        problem.violations.push(crate::problem::Violation {
            field: "time_zone".into(),
            ..problem.violations[0].clone()
        });
        problem.violations.push(crate::problem::Violation {
            field: "elsewhere".into(),
            ..problem.violations[0].clone()
        });
        as_clients_see_them(binding, &mut problem);
        let fields: Vec<_> = problem
            .violations
            .iter()
            .map(|violation| violation.field.as_str())
            .collect();
        assert_eq!(fields, ["displayName", "timeZone", "elsewhere"]);
    });
}
