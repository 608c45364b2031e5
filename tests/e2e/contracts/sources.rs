//! The sources of the end-to-end tests, and what is called in them.

use std::path::Path;

/// Every file of tests/e2e but those that look for names themselves.
pub(super) struct Sources(Vec<String>);

impl Sources {
    pub(super) fn read() -> Self {
        let mut sources = Vec::new();
        add(
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/e2e")),
            &mut sources,
        );
        Self(sources)
    }

    /// Whether the method of a client is called: `.get_profile(`.
    pub(super) fn call_method(&self, name: &str) -> bool {
        let call = format!(".{name}(");
        self.0.iter().any(|source| source.contains(&call))
    }

    /// Whether a path of this template is sent with this method: `.get("/v1/users/me")`.
    pub(super) fn call_path(&self, verb: &str, template: &str) -> bool {
        self.0.iter().any(|source| {
            calls(source).any(|(called, path)| called == verb && is_of(template, path))
        })
    }

    /// Whether there is a test of this name.
    pub(super) fn have_test(&self, name: &str) -> bool {
        let test = format!("async fn {name}() {{");
        self.0.iter().any(|source| source.contains(&test))
    }

    /// Whether the text stands somewhere as a literal.
    pub(super) fn name(&self, text: &str) -> bool {
        let literal = format!("\"{text}\"");
        self.0.iter().any(|source| source.contains(&literal))
    }
}

fn add(folder: &Path, sources: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of tests") {
        let path = entry.expect("a file of tests").path();
        if path.file_stem().is_some_and(|stem| stem == "contracts") {
            continue;
        }
        if path.is_dir() {
            add(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(std::fs::read_to_string(&path).expect("a source is readable"));
        }
    }
}

/// The calls of a method whose first argument is a literal path, as it is written or through `format!`.
fn calls(source: &str) -> impl Iterator<Item = (&str, &str)> {
    source.match_indices("\"/v1/").filter_map(|(at, _)| {
        let path = source[at + 1..].split('"').next()?;
        let before = source[..at].trim_end();
        let before = before.strip_suffix("format!(").unwrap_or(before).trim_end();
        let before = before.trim_end_matches('&').trim_end();
        let call = before.strip_suffix('(')?;
        Some((call.rsplit('.').next()?, path))
    })
}

/// Whether the path is one of the template: a variable stands for any one segment, or for what comes before its verb.
fn is_of(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(wanted, found)| {
            let variable = wanted
                .strip_prefix('{')
                .and_then(|rest| rest.split_once('}'));
            wanted == found || variable.is_some_and(|(_, verb)| found.ends_with(verb))
        })
}

#[test]
fn calls_are_found_however_they_are_laid_out() {
    let source = r#"
        client.get("/v1/users/me?x=1").await;
        client
            .post(
                "/v1/sessions:login",
                body,
            );
        client.get(&format!("/v1/users/{id}")).await;
        let path = "/v1/nothing";
    "#;
    let found: Vec<_> = calls(source).collect();
    let expected = [
        ("get", "/v1/users/me?x=1"),
        ("post", "/v1/sessions:login"),
        ("get", "/v1/users/{id}"),
    ];
    assert_eq!(found, expected);
    assert!(is_of("/v1/users/{user}", "/v1/users/me?x=1"));
    assert!(!is_of("/v1/users/{user}", "/v1/users/me/preferences"));
    assert!(!is_of("/v1/sessions:login", "/v1/sessions:logout"));
    assert!(is_of("/v1/a/{a}:change", "/v1/a/me:change"));
    assert!(!is_of("/v1/a/{a}:change", "/v1/a/me:keep"));
}
