//! Tells a browser which pages of other origins may call here and read the answers (CORS, as the Fetch standard has it). It refuses
//! nothing: a page that is not told so cannot read its answer, and cannot send what has to be asked for first.

use http::{HeaderName, HeaderValue, Method, header};
use pingora::http::RequestHeader;

use crate::config::Origins;

/// What a page may send beside what every page may.
const REQUEST_HEADERS: &str = "authorization, content-type, grpc-timeout, x-grpc-web, x-user-agent, idempotency-key, x-request-id, traceparent";
/// What of an answer's head a page may read.
const ANSWER_HEADERS: &str = "grpc-status, grpc-message, grpc-status-details-bin, retry-after, ratelimit, ratelimit-policy, x-request-id, www-authenticate";
/// Seconds that a browser may remember what it was told: the longest that Chromium does.
const MAX_AGE: &str = "7200";

/// What a browser is told of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CrossOrigin {
    /// No page of another origin may call.
    #[default]
    Closed,
    /// Some may, and this request came from none of them.
    Strange,
    /// It came from one that may.
    Known {
        /// As the answer names it.
        origin: HeaderValue,
        /// Whether other origins are answered otherwise, which caches must know.
        varies: bool,
        /// Whether the browser asks before it sends the request.
        preflight: bool,
    },
}

pub(crate) fn check(origins: &Origins, request: &RequestHeader) -> CrossOrigin {
    let sent = request.headers.get(header::ORIGIN);
    let (origin, varies) = match (origins, sent) {
        (Origins::Any, _) => (HeaderValue::from_static("*"), false),
        (Origins::Listed(listed), Some(origin)) if listed.contains(origin) => {
            (origin.clone(), true)
        }
        (Origins::Listed(listed), _) if listed.is_empty() => return CrossOrigin::Closed,
        (Origins::Listed(_), _) => return CrossOrigin::Strange,
    };
    let asks = header::ACCESS_CONTROL_REQUEST_METHOD;
    CrossOrigin::Known {
        origin,
        varies,
        preflight: request.method == Method::OPTIONS && request.headers.contains_key(asks),
    }
}

impl CrossOrigin {
    /// For every answer, or a page could not read why it was refused. Nothing allows credentials, which are cookies: there are none.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let vary = (header::VARY, HeaderValue::from_static("origin"));
        match self {
            Self::Closed => Vec::new(),
            Self::Strange => vec![vary],
            Self::Known { origin, varies, .. } => {
                let allowed = (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                let exposed = (
                    header::ACCESS_CONTROL_EXPOSE_HEADERS,
                    HeaderValue::from_static(ANSWER_HEADERS),
                );
                let vary = varies.then_some(vary);
                [allowed, exposed].into_iter().chain(vary).collect()
            }
        }
    }

    /// For the answer to a browser that asks first, about a path with these methods.
    pub(crate) fn preflight(&self, methods: &HeaderValue) -> Vec<(HeaderName, HeaderValue)> {
        let Self::Known {
            preflight: true, ..
        } = self
        else {
            return Vec::new();
        };
        vec![
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone()),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static(REQUEST_HEADERS),
            ),
            (
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static(MAX_AGE),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(origins: &str, method: &str, headers: &[(&'static str, &str)]) -> CrossOrigin {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        for (name, value) in headers {
            request.insert_header(*name, *value).unwrap();
        }
        check(&origins.parse().unwrap(), &request)
    }

    fn names(headers: Vec<(HeaderName, HeaderValue)>) -> Vec<String> {
        let mut names: Vec<String> = headers
            .into_iter()
            .map(|(name, _)| name.as_str().to_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn without_origins_nothing_is_said() {
        let told = told("", "GET", &[("origin", "https://a.test")]);
        assert_eq!(told, CrossOrigin::Closed);
        assert!(told.headers().is_empty());
    }

    #[test]
    fn an_origin_is_known_only_as_it_is_written() {
        for strange in [
            "https://a.test.evil.test",
            "http://a.test",
            "https://a.test:8443",
            "null",
        ] {
            let told = told("https://a.test", "GET", &[("origin", strange)]);
            assert_eq!(told, CrossOrigin::Strange, "{strange}");
            assert_eq!(names(told.headers()), ["vary"]);
        }
        let told = told(
            "https://b.test,https://a.test",
            "GET",
            &[("origin", "https://a.test")],
        );
        assert_eq!(
            names(told.headers()),
            [
                "access-control-allow-origin",
                "access-control-expose-headers",
                "vary"
            ]
        );
        assert!(told.preflight(&HeaderValue::from_static("GET")).is_empty());
    }

    #[test]
    fn a_request_without_an_origin_is_answered_for_caches_too() {
        assert_eq!(told("https://a.test", "GET", &[]), CrossOrigin::Strange);
        let open = told("*", "GET", &[]).headers();
        assert!(open.contains(&(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*")
        )));
    }

    #[test]
    fn who_asks_first_is_told_what_may_be_sent() {
        let asked = [
            ("origin", "https://a.test"),
            ("access-control-request-method", "PATCH"),
        ];
        let told = told("*", "OPTIONS", &asked);
        let methods = HeaderValue::from_static("GET, HEAD, PATCH");
        assert_eq!(
            names(told.preflight(&methods)),
            [
                "access-control-allow-headers",
                "access-control-allow-methods",
                "access-control-max-age"
            ]
        );
        assert_eq!(
            names(told.headers()),
            [
                "access-control-allow-origin",
                "access-control-expose-headers"
            ]
        );
    }
}
