//! The id that client, logs and support know a request by.

use http::{HeaderMap, HeaderValue};
use uuid::Uuid;

/// Its header, in both directions.
pub(crate) const HEADER: &str = "x-request-id";

const LONGEST: usize = 64;

/// The id that the client sent, where it is well-formed; a new one otherwise.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(HEADER) {
        Some(id) if is_well_formed(id.as_bytes()) => id.clone(),
        _ => new(),
    }
}

fn new() -> HeaderValue {
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(Uuid::now_v7().hyphenated().encode_lower(&mut text))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn is_well_formed(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_id_is_kept_and_any_other_replaced() {
        let mut headers = HeaderMap::new();
        assert_eq!(of(&headers).len(), 36);
        headers.insert(HEADER, HeaderValue::from_static("support-4711"));
        assert_eq!(of(&headers), "support-4711");
        for wrong in ["", "a b", "\"x\"", "%0a"] {
            headers.insert(HEADER, HeaderValue::from_str(wrong).unwrap());
            assert_eq!(of(&headers).len(), 36, "{wrong}");
        }
        headers.insert(HEADER, HeaderValue::from_str(&"a".repeat(65)).unwrap());
        assert_eq!(of(&headers).len(), 36);
    }
}
