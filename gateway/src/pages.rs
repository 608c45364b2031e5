//! What describes the API: /openapi.json for programs, /docs for people. The page is Swagger UI; its files are compiled in, so that nothing
//! comes from another host.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::answer::Answer;

/// The page runs what this gateway serves, calls this gateway, and stands in nobody's frame. Images of Swagger UI are in its style sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Asked for each time, and sent again only when it has changed.
const ASKED: &str = "no-cache";
/// For what changes with a release of Swagger UI.
const A_DAY: &str = "public, max-age=86400";

/// Every page; none where the API is not described over HTTP.
#[derive(Default)]
pub(crate) struct Pages(Vec<Page>);

struct Page {
    path: &'static str,
    kind: &'static str,
    cache: &'static str,
    /// Whether `body` is compressed by gzip, which whoever shows pages understands.
    compressed: bool,
    etag: HeaderValue,
    body: Bytes,
}

impl Pages {
    /// The pages around an OpenAPI document.
    pub(crate) fn new(document: &Value) -> Self {
        let json = Bytes::from(document.to_string());
        let bundle = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
        let style = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));
        Self(vec![
            Page::new("/openapi.json", "application/json", json),
            Page::new(
                "/docs",
                "text/html; charset=utf-8",
                Bytes::from_static(include_bytes!("pages/docs.html")),
            ),
            Page::new(
                "/docs/page.js",
                "text/javascript; charset=utf-8",
                Bytes::from_static(include_bytes!("pages/page.js")),
            ),
            Page::new(
                "/docs/page.css",
                "text/css; charset=utf-8",
                Bytes::from_static(include_bytes!("pages/page.css")),
            ),
            Page::new(
                "/docs/swagger-ui-bundle.js",
                "text/javascript; charset=utf-8",
                Bytes::from_static(bundle),
            )
            .of_a_release(),
            Page::new(
                "/docs/swagger-ui.css",
                "text/css; charset=utf-8",
                Bytes::from_static(style),
            )
            .of_a_release(),
        ])
    }

    /// What is answered at a path: the page, or that the client has it already; none where there is no page.
    pub(crate) fn answer(&self, path: &str, request: &HeaderMap) -> Option<Answer> {
        let path = if path == "/docs/" { "/docs" } else { path };
        let page = self.0.iter().find(|page| page.path == path)?;
        let mut headers = vec![
            (header::ETAG, page.etag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static(page.cache)),
        ];
        let mut known = request.get_all(header::IF_NONE_MATCH).iter();
        if known.any(|tags| page.is_among(tags)) {
            return Some(Answer {
                status: 304,
                headers,
                body: Bytes::new(),
            });
        }
        for (name, value) in [
            (header::CONTENT_TYPE, page.kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            headers.push((name, HeaderValue::from_static(value)));
        }
        if page.compressed {
            headers.push((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        }
        Some(Answer {
            status: 200,
            headers,
            body: page.body.clone(),
        })
    }
}

impl Page {
    fn new(path: &'static str, kind: &'static str, body: Bytes) -> Self {
        Self {
            path,
            kind,
            cache: ASKED,
            compressed: false,
            etag: etag(&body),
            body,
        }
    }

    fn of_a_release(mut self) -> Self {
        self.compressed = true;
        self.cache = A_DAY;
        self
    }

    /// Whether an If-None-Match names this page (RFC 9110, 13.1.2).
    fn is_among(&self, tags: &HeaderValue) -> bool {
        let mut tags = tags.as_bytes().split(|byte| *byte == b',');
        tags.any(|tag| {
            let tag = tag.trim_ascii();
            tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes()
        })
    }
}

fn etag(body: &[u8]) -> HeaderValue {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    let digits: String = digest.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    HeaderValue::try_from(format!("\"{digits}\"")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn header_of(answer: &Answer, name: &str) -> Option<String> {
        let mut headers = answer.headers.iter();
        let (_, value) = headers.find(|(known, _)| known.as_str() == name)?;
        Some(value.to_str().unwrap().to_owned())
    }

    fn asking(tags: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_str(tags).unwrap())])
    }

    #[test]
    fn a_page_is_sent_once_until_it_changes() {
        let pages = Pages::new(&json!({"openapi": "3.1.1"}));
        let first = pages.answer("/openapi.json", &HeaderMap::new()).unwrap();
        assert_eq!(
            (first.status, &*first.body),
            (200, &br#"{"openapi":"3.1.1"}"#[..])
        );
        let etag = header_of(&first, "etag").unwrap();
        for tags in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"x\", {etag}"),
            "*".into(),
        ] {
            let again = pages.answer("/openapi.json", &asking(&tags)).unwrap();
            assert_eq!((again.status, again.body.len()), (304, 0), "{tags}");
            assert_eq!(header_of(&again, "etag").as_ref(), Some(&etag));
        }
        let other = Pages::new(&json!({"openapi": "3.1.2"}));
        let changed = other.answer("/openapi.json", &asking(&etag)).unwrap();
        assert_eq!(changed.status, 200);
    }

    #[test]
    fn the_page_has_what_it_names_and_nothing_from_elsewhere() {
        let pages = Pages::new(&json!({}));
        let page = pages.answer("/docs", &HeaderMap::new()).unwrap();
        let html = std::str::from_utf8(&page.body).unwrap();
        assert!(!html.contains("//") && !html.contains("style="), "{html}");
        let mut links = 0;
        for attribute in ["href=\"", "src=\""] {
            for link in html.split(attribute).skip(1) {
                let link = link.split('"').next().unwrap();
                if link.starts_with("data:") {
                    continue;
                }
                assert!(pages.answer(link, &HeaderMap::new()).is_some(), "{link}");
                links += 1;
            }
        }
        assert_eq!(links, 4);
        assert!(pages.answer("/docs/", &HeaderMap::new()).is_some());
        assert!(
            pages
                .answer("/docs/index.html", &HeaderMap::new())
                .is_none()
        );
        assert!(
            Pages::default()
                .answer("/docs", &HeaderMap::new())
                .is_none()
        );
    }
}
