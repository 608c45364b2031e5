//! Percent-encoding of paths and queries (RFC 3986, and `+` as HTML forms write it).

use std::borrow::Cow;

/// Decodes one segment of a path; none where it is malformed or not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('%') {
        decode_bytes(text, false).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(text))
    }
}

/// Decodes a name or a value of a query.
pub(super) fn decode_query(text: &str) -> Option<Cow<'_, str>> {
    if text.contains(['%', '+']) {
        decode_bytes(text, true).map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(text))
    }
}

fn decode_bytes(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_comes_back() {
        assert_eq!(decode("a%2Fb+%C3%BC").as_deref(), Some("a/b+ü"));
        assert_eq!(decode_query("a+b%2B").as_deref(), Some("a b+"));
        assert!(matches!(decode("plain"), Some(Cow::Borrowed("plain"))));
    }

    #[test]
    fn what_is_malformed_is_nothing() {
        for text in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
