//! Deadlines that clients of gRPC set.

use std::time::Duration;

use http::HeaderMap;

use crate::exchange::Exchange;
use crate::filters::route::Target;

/// What is left of the deadline of a call over gRPC or gRPC-Web: the client's, or the route's where that is shorter.
pub(crate) fn time_left(headers: &HeaderMap, exchange: &Exchange) -> Option<Duration> {
    let asked = headers
        .get("grpc-timeout")
        .and_then(|timeout| parse_timeout(timeout.as_bytes()));
    let route = exchange
        .target
        .as_ref()
        .and_then(Target::route)
        .and_then(|route| route.deadline);
    let whole = match (asked, route) {
        (Some(asked), Some(route)) => Some(asked.min(route)),
        (asked, route) => asked.or(route),
    };
    whole.map(|whole| whole.saturating_sub(exchange.begun.elapsed()))
}

/// A `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_timeout_has_digits_and_a_unit() {
        assert_eq!(parse_timeout(b"1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_timeout(b"2S"), Some(Duration::from_secs(2)));
        assert_eq!(
            parse_timeout(b"99999999H"),
            Some(Duration::from_secs(99_999_999 * 3600))
        );
        for wrong in [&b""[..], b"S", b"5", b"123456789S", b"-1S", b"+1S", b"5x"] {
            assert_eq!(parse_timeout(wrong), None);
        }
    }
}
