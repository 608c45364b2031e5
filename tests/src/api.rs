//! The description of the API, and whether an answer is one that it has.

use std::sync::LazyLock;

use clap::Parser as _;
use reqwest::Method;
use serde_json::Value;

use crate::rest::Answer;

/// What `/openapi.json` of a gateway with its defaults answers.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        // Where services are is not described.
        let config = gateway::Config::parse_from(["gateway", "--upstreams", "auth=http://auth:1"]);
        gateway::openapi(&config).expect("the contracts are a plan")
    });
    &DOCUMENT
}

/// The operation that a request is for; none where its path, or its method there, is not described.
pub fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let paths = document()["paths"].as_object().expect("paths");
    let (_, item) = paths
        .iter()
        .filter(|(template, _)| fits(template, path))
        .max_by_key(|(template, _)| literals(template))?;
    item.get(method.as_str().to_lowercase())
}

/// What an answer is that the description of its operation does not have; none where it has it, or there is no such operation.
pub fn undescribed(method: &Method, path: &str, answer: &Answer) -> Option<String> {
    let operation = operation(method, path)?;
    let status = answer.status.as_u16();
    let described = &operation["responses"][status.to_string()];
    let reason = answer.body["reason"].as_str().unwrap_or_default();
    let known = match status {
        200 => described.is_object(),
        _ => described["content"]["application/problem+json"]["examples"]
            .get(reason)
            .is_some(),
    };
    (!known).then(|| {
        format!(
            "{method} {path} answers {status} {reason}, which the description of {} does not have. Name the reason in the option \
             `failures` of its contract: {}",
            operation["operationId"], answer.text
        )
    })
}

/// Whether a path is one of a template: a variable is one segment, and what follows it there is a verb.
fn fits(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    let fit = template.split('/').all(|part| {
        segments.next().is_some_and(|segment| {
            let variable = part.strip_prefix('{').and_then(|part| part.split_once('}'));
            match variable {
                Some((_, verb)) => segment.len() > verb.len() && segment.ends_with(verb),
                None => segment == part,
            }
        })
    });
    fit && segments.next().is_none()
}

/// Letters of a template that are not of variables: of two that fit, the one with more of them is meant.
fn literals(template: &str) -> usize {
    let outside = template
        .split('{')
        .map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    outside.map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_found_by_its_path() {
        for (method, path, id) in [
            (
                Method::GET,
                "/v1/users/me?x=1",
                Some("ProfileService_GetProfile"),
            ),
            (
                Method::GET,
                "/v1/users/a:b",
                Some("ProfileService_GetProfile"),
            ),
            (
                Method::POST,
                "/v1/accounts/me:changePassword",
                Some("AccountService_ChangePassword"),
            ),
            (Method::POST, "/v1/users/me", None),
            (Method::GET, "/v1/users/", None),
            (Method::GET, "/v1/nothing", None),
        ] {
            let found = operation(&method, path);
            let found = found.and_then(|operation| operation["operationId"].as_str());
            assert_eq!(found, id, "{method} {path}");
        }
    }
}
