//! Who asks: the address that limits and sessions know a client by.

use std::net::IpAddr;

use http::HeaderMap;

/// The address of the client: who connects or, behind `trusted` proxies that each append to X-Forwarded-For, the entry that
/// many places from the right. Entries further left are the client's own words. A header that is too short or malformed there
/// did not pass the proxies, so the peer is the client.
pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: usize) -> IpAddr {
    if trusted == 0 {
        return peer.to_canonical();
    }
    let entries = headers.get_all("x-forwarded-for").iter().rev();
    let mut entries = entries.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    entries
        .nth(trusted - 1)
        .and_then(parse)
        .unwrap_or(peer)
        .to_canonical()
}

/// An address, with or without a port, IPv6 with or without brackets.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.split_once(']'))
        .map_or(text, |(address, _)| address);
    bare.parse().ok().or_else(|| {
        text.parse::<std::net::SocketAddr>()
            .ok()
            .map(|address| address.ip())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(lines: &[&'static str], trusted: usize) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        of("192.0.2.9".parse().unwrap(), &headers, trusted).to_string()
    }

    #[test]
    fn without_proxies_the_header_is_the_clients_own_words() {
        assert_eq!(client(&["198.51.100.1"], 0), "192.0.2.9");
    }

    #[test]
    fn behind_proxies_the_client_is_counted_from_the_right() {
        assert_eq!(client(&["203.0.113.1, 198.51.100.1"], 1), "198.51.100.1");
        assert_eq!(
            client(&["203.0.113.1, 198.51.100.1", "198.51.100.2"], 2),
            "198.51.100.1"
        );
        assert_eq!(client(&["[2001:db8::1]:443"], 1), "2001:db8::1");
        assert_eq!(client(&["198.51.100.1:1234"], 1), "198.51.100.1");
    }

    #[test]
    fn a_header_that_did_not_pass_the_proxies_is_not_believed() {
        assert_eq!(client(&["198.51.100.1"], 2), "192.0.2.9");
        assert_eq!(client(&["unknown"], 1), "192.0.2.9");
        assert_eq!(client(&[], 1), "192.0.2.9");
    }
}
