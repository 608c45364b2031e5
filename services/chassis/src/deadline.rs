//! The deadline of the call that is being served: read from its caller, and handed on to those that it calls.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

/// The header by which a caller says how long it waits.
const HEADER: &str = "grpc-timeout";

tokio::task_local! {
    static DEADLINE: Instant;
}

/// How long the caller waits, when it says so as gRPC prescribes: up to eight digits and a unit.
pub(crate) fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit())
    {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(number * 3600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Tells the called service how long we wait.
pub(crate) fn set(headers: &mut HeaderMap, remaining: Duration) {
    let text = format!("{}m", remaining.as_millis().min(99_999_999));
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(HEADER, value);
    }
}

/// Runs `call`; what it calls in turn inherits `deadline`.
pub(crate) async fn within<F: Future>(deadline: Option<Instant>, call: F) -> F::Output {
    match deadline {
        Some(deadline) => DEADLINE.scope(deadline, call).await,
        None => call.await,
    }
}

/// How long the call that we serve has left; none outside of a call with a deadline.
pub(crate) fn remaining() -> Option<Duration> {
    DEADLINE
        .try_with(|deadline| deadline.saturating_duration_since(Instant::now()))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        of(&HeaderMap::from_iter([(
            HEADER.parse().unwrap(),
            text.parse().unwrap(),
        )]))
    }

    #[test]
    fn a_timeout_is_a_number_and_a_unit() {
        assert_eq!(parsed("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parsed("1500m"), Some(Duration::from_millis(1500)));
        assert_eq!(parsed("1H"), Some(Duration::from_secs(3600)));
        for wrong in ["", "S", "2", "+2S", "-2S", "123456789S", "2x", "2 S"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_set_is_what_is_read() {
        let mut headers = HeaderMap::new();
        set(&mut headers, Duration::from_millis(250));
        assert_eq!(of(&headers), Some(Duration::from_millis(250)));
    }

    #[tokio::test]
    async fn a_call_passes_its_deadline_on() {
        assert_eq!(remaining(), None);
        let deadline = Instant::now() + Duration::from_secs(5);
        let left = within(Some(deadline), async { remaining() }).await.unwrap();
        assert!(
            left <= Duration::from_secs(5) && left > Duration::from_secs(4),
            "{left:?}"
        );
    }
}
