//! Takes away the headers by which services and the mesh know who calls: only this gateway and the sidecars may set them, and
//! only services and sidecars see them.

use http::{HeaderMap, HeaderName};
use pingora::http::{RequestHeader, ResponseHeader};

pub(crate) fn strip(request: &mut RequestHeader) {
    for name in identities(&request.headers) {
        request.remove_header(&name);
    }
}

/// What services and sidecars tell each other in an answer is not for clients.
pub(crate) fn strip_answer(response: &mut ResponseHeader) {
    for name in identities(&response.headers) {
        response.remove_header(&name);
    }
}

/// Names of what is not for clients.
pub(crate) fn identities(headers: &HeaderMap) -> Vec<HeaderName> {
    let identities = headers.keys().filter(|name| is_identity(name.as_str()));
    identities.cloned().collect()
}

fn is_identity(name: &str) -> bool {
    name.starts_with("grimoire-") || name.starts_with("l5d-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_claims_an_identity_passes() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for name in [
            "grimoire-subject",
            "Grimoire-Roles",
            "grimoire-anything",
            "L5d-Client-Id",
            "x-grimoire",
        ] {
            request.append_header(name, "forged").unwrap();
            request.append_header(name, "twice").unwrap();
        }
        strip(&mut request);
        assert_eq!(
            request
                .headers
                .keys()
                .map(HeaderName::as_str)
                .collect::<Vec<_>>(),
            ["x-grimoire"]
        );
    }

    #[test]
    fn clients_are_not_told_what_a_sidecar_says_of_a_service() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.append_header("l5d-server-id", "auth").unwrap();
        response.append_header("content-type", "x").unwrap();
        strip_answer(&mut response);
        let left: Vec<_> = response.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["content-type"]);
    }
}
