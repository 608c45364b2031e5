//! Whether the client speaks TLS, be it with the gateway or with a proxy in front.

use http::HeaderMap;

/// Whether it does. `encrypted` is the connection to the gateway; behind `trusted` proxies, what the last of them says of the client's in
/// X-Forwarded-Proto goes before that.
pub(crate) fn is_https(encrypted: bool, headers: &HeaderMap, trusted: usize) -> bool {
    let said = headers
        .get_all("x-forwarded-proto")
        .iter()
        .next_back()
        .and_then(|line| line.as_bytes().rsplit(|byte| *byte == b',').next());
    match said {
        Some(said) if trusted > 0 => said.trim_ascii().eq_ignore_ascii_case(b"https"),
        _ => encrypted,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-proto", HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn without_proxies_the_connection_counts_and_not_what_the_client_says() {
        assert!(!is_https(false, &headers(&["https"]), 0));
        assert!(is_https(true, &headers(&["http"]), 0));
    }

    #[test]
    fn behind_proxies_their_last_word_counts() {
        assert!(is_https(false, &headers(&["https"]), 1));
        assert!(is_https(false, &headers(&["http", "http, HTTPS"]), 1));
        assert!(!is_https(true, &headers(&["https, http"]), 1));
        assert!(is_https(true, &headers(&[]), 1));
    }
}
