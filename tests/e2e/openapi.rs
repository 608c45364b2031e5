//! The API is described as it is: by what the gateway serves, and by docs/reference.md.

use std::fs;
use std::process::Command;

use reqwest::Method;
use serde_json::Value;
use tests::api;
use tests::reference::reference;
use tests::stack::{root, shared};

#[test]
fn the_reference_is_what_the_contracts_say() {
    let path = root().join("docs/reference.md");
    let rendered = reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, rendered).expect("docs/ can be written");
        return;
    }
    assert!(
        fs::read_to_string(&path).expect("docs/reference.md") == rendered,
        "docs/reference.md is not what the contracts say: renew it by ./dev prepare"
    );
}

#[test]
fn the_description_is_openapi_to_others() {
    let tools = root().join(".dev/tools/openapi");
    let program = tools.join("bin/openapi-spec-validator");
    if !program.is_file() {
        eprintln!(
            "the description of the API was not validated, for there is no {}: ./dev test installs it where python3 has pip",
            program.display()
        );
        return;
    }
    let file = root().join(format!(".dev/test/openapi-{}.json", std::process::id()));
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, api::document().to_string()).expect("a file");
    let output = Command::new(program)
        .arg(&file)
        .env("PYTHONPATH", tools)
        .output()
        .expect("it is there");
    fs::remove_file(file).expect("the file is ours");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn the_api_is_described_to_programs_and_to_people() {
    let client = shared().await.client();
    let described = client.get("/openapi.json").await;
    assert_eq!(described.header("content-type"), "application/json");
    assert_eq!(described.ok(), *api::document());
    let page = client.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    for link in page.text.split("=\"/docs/").skip(1) {
        let name = link.split('"').next().expect("a link");
        let file = client.get(&format!("/docs/{name}")).await;
        let kind = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            _ => "text/css; charset=utf-8",
        };
        assert_eq!(
            (file.status.as_u16(), file.header("content-type")),
            (200, kind)
        );
    }
}

/// That each answer is described is held by the client of these tests, for all that it asks.
#[tokio::test]
async fn who_has_no_token_is_answered_what_is_described() {
    let stack = shared().await;
    let paths = api::document()["paths"].as_object().expect("paths");
    for (template, item) in paths {
        for (verb, operation) in item.as_object().expect("operations") {
            let method: Method = verb.to_uppercase().parse().expect("a method");
            let path = filled(template);
            assert!(api::operation(&method, &path).is_some(), "{verb} {path}");
            let body = operation["requestBody"]
                .is_object()
                .then(|| "{}".to_owned());
            let client = stack.client();
            let answer = client.send(method, &path, body).await.expect("an answer");
            if operation["security"][0]["bearer"].is_array() {
                answer.problem(401, "TOKEN_MISSING");
            } else {
                assert_ne!(answer.body["reason"], Value::Null, "{verb} {path}");
            }
        }
    }
}

/// A template with `me` in the place of its variables.
fn filled(template: &str) -> String {
    let mut path = String::new();
    for part in template.split('{') {
        match part.split_once('}') {
            Some((_, rest)) => {
                path.push_str("me");
                path.push_str(rest);
            }
            None => path.push_str(part),
        }
    }
    path
}
