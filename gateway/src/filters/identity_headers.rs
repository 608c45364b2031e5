//! Takes away the headers by which services and the mesh know who calls: only this gateway and the sidecars may set them.

use http::HeaderName;
use pingora::http::RequestHeader;

pub(crate) fn strip(request: &mut RequestHeader) {
    let forged: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_identity(name.as_str()))
        .cloned()
        .collect();
    for name in forged {
        request.remove_header(&name);
    }
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
}
