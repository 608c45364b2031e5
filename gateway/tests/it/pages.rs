//! The API is described to programs and to people, where its operator wants that.

use reqwest::Method;

use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_is_served_and_sent_again_only_when_it_changed() {
    let stack = Stack::start().await;
    let first = stack.get("/openapi.json", None).await;
    assert_eq!(
        (first.status, first.header("content-type")),
        (200, "application/json")
    );
    assert_eq!(first.body["openapi"], "3.1.1");
    assert_eq!(first.header("cache-control"), "no-cache");
    let known = [("if-none-match", first.header("etag"))];
    for path in ["/openapi.json", "/docs"] {
        let again = stack.send_with(Method::GET, path, None, &known, None);
        let expected = if path == "/docs" { 200 } else { 304 };
        assert_eq!(again.await.status, expected, "{path}");
    }
    let head = stack.send(Method::HEAD, "/openapi.json", None, None).await;
    let length = first.text.len().to_string();
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, &*length)
    );
    stack
        .post("/openapi.json", "{}")
        .await
        .problem(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_runs_nothing_from_elsewhere() {
    let stack = Stack::start().await;
    let page = stack.get("/docs", None).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
    assert!(!policy.contains("unsafe"), "{policy}");
    for (path, kind, encoding) in [
        ("/docs/page.js", "text/javascript; charset=utf-8", ""),
        (
            "/docs/swagger-ui-bundle.js",
            "text/javascript; charset=utf-8",
            "gzip",
        ),
        ("/docs/swagger-ui.css", "text/css; charset=utf-8", "gzip"),
    ] {
        let file = stack.get(path, None).await;
        assert_eq!((file.status, file.header("content-type")), (200, kind));
        assert_eq!(file.header("content-encoding"), encoding, "{path}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_operator_does_not_want_it_nothing_is_described() {
    let stack = Stack::with(&["--docs", "false"]).await;
    for path in ["/openapi.json", "/docs", "/docs/page.js"] {
        stack.get(path, None).await.problem(404, "ROUTE_NOT_FOUND");
    }
}
