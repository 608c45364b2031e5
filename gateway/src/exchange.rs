//! One request and what became of it, from its first byte to its line in the log.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::{Error, ErrorSource};
use tracing::Span;

use crate::filters::cors::CrossOrigin;
use crate::filters::request_id;
use crate::filters::route::Target;
use crate::limits::Standing;
use crate::metrics::Counted;
use crate::places::Place;
use crate::problem::{self, Problem};
use crate::protocol::Protocol;
use crate::trust::token::Identity;
use crate::upstream::{Metadata, Tries, Upstream};

/// The client went before it was answered.
const GONE: u16 = 499;
/// Characters of a user agent that services are told.
const USER_AGENT: usize = 256;

/// The state of one request.
pub(crate) struct Exchange {
    pub(crate) begun: Instant,
    pub(crate) span: Span,
    pub(crate) id: HeaderValue,
    /// 32 hexadecimal digits.
    pub(crate) trace_id: String,
    pub(crate) protocol: Protocol,
    pub(crate) client: IpAddr,
    pub(crate) target: Option<Target>,
    pub(crate) cross_origin: CrossOrigin,
    pub(crate) caller: Option<Arc<Identity>>,
    pub(crate) standing: Option<Standing>,
    /// The limits of the route, as a `RateLimit-Policy`; none while they are not known.
    pub(crate) policy: Option<HeaderValue>,
    /// What a call goes to whose answer passes as it comes.
    pub(crate) upstream: Option<Arc<Upstream>>,
    /// Bytes of the request body that were passed through.
    pub(crate) passed: usize,
    /// Of a call that is passed through.
    pub(crate) tries: Option<Tries>,
    /// The gRPC status that a service answered with.
    pub(crate) grpc_status: Option<tonic::Code>,
    /// Why the request was refused; for the answer, while it is not written.
    pub(crate) refusal: Option<Box<Problem>>,
    /// Name of the reason that the answer gives.
    pub(crate) reason: Option<Cow<'static, str>>,
    /// Status of the answer, as HTTP has it, also where gRPC carries it otherwise.
    pub(crate) status: Option<u16>,
    /// Of a call of reflection or health.
    pub(crate) place: Option<Place>,
    _in_flight: Counted,
}

impl Exchange {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            span: Span::none(),
            id: HeaderValue::from_static(""),
            trace_id: String::new(),
            protocol: Protocol::default(),
            client: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            target: None,
            cross_origin: CrossOrigin::default(),
            caller: None,
            standing: None,
            policy: None,
            upstream: None,
            passed: 0,
            tries: None,
            grpc_status: None,
            refusal: None,
            reason: None,
            status: None,
            place: None,
            _in_flight: Counted::request(),
        }
    }

    /// The status of the answer as HTTP has it, when all is over. `written` is what its head said, which for a call that is passed
    /// through comes before anybody knows.
    pub(crate) fn outcome(&self, written: Option<u16>, error: Option<&Error>) -> u16 {
        if let Some(code) = self.grpc_status {
            return problem::http_status(code);
        }
        let broken = || {
            self.upstream.as_ref()?;
            Some(match error.map(Error::esource) {
                Some(ErrorSource::Downstream) => GONE,
                Some(ErrorSource::Upstream) => 503,
                _ => 500,
            })
        };
        self.status.or_else(broken).or(written).unwrap_or(GONE)
    }

    /// What a service is told beside the message: who calls, from where, and which request and trace this is.
    pub(crate) fn metadata(&self, request: &HeaderMap) -> Metadata {
        let mut metadata = Metadata::with_capacity(12);
        if let Some(caller) = &self.caller {
            metadata.extend([
                ("grimoire-subject", caller.subject_header.clone()),
                ("grimoire-session", caller.session_header.clone()),
                ("grimoire-roles", caller.roles_header.clone()),
                ("grimoire-scopes", caller.scopes_header.clone()),
                ("grimoire-auth-time", caller.auth_time_header.clone()),
            ]);
        }
        if let Ok(address) = HeaderValue::try_from(self.client.to_string()) {
            metadata.push(("grimoire-client-address", address));
        }
        if let Some(agent) = request.get(header::USER_AGENT).and_then(bounded) {
            metadata.push(("grimoire-client-user-agent", agent));
        }
        metadata.push((request_id::HEADER, self.id.clone()));
        self.span.in_scope(|| {
            telemetry::propagation::inject_each(|name, value| metadata.push((name, value)));
        });
        metadata
    }

    /// Headers that every answer has.
    pub(crate) fn answer_headers(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let id = (HeaderName::from_static(request_id::HEADER), self.id.clone());
        let standing = self.standing.as_ref().and_then(Standing::header);
        let limits = standing.map(|standing| (HeaderName::from_static("ratelimit"), standing));
        let policy = self.policy.clone();
        let policy = policy.map(|policy| (HeaderName::from_static("ratelimit-policy"), policy));
        let cross_origin = self.cross_origin.headers();
        std::iter::once(id)
            .chain(limits)
            .chain(policy)
            .chain(cross_origin)
    }
}

fn bounded(agent: &HeaderValue) -> Option<HeaderValue> {
    match agent.as_bytes().get(..USER_AGENT) {
        Some(start) => HeaderValue::from_bytes(start).ok(),
        None => Some(agent.clone()),
    }
}

#[cfg(test)]
mod tests {
    use pingora::ErrorType::{ConnectionClosed, WriteError};

    use super::*;

    #[test]
    fn an_answer_of_our_own_is_what_it_says_and_none_is_a_client_that_went() {
        let mut exchange = Exchange::begin();
        assert_eq!(exchange.outcome(None, None), 499);
        exchange.status = Some(404);
        assert_eq!(exchange.outcome(Some(200), None), 404);
    }

    #[tokio::test]
    async fn a_call_that_breaks_after_its_head_did_not_succeed() {
        let mut exchange = Exchange::begin();
        exchange.upstream = Some(Arc::new(Upstream::for_tests()));
        let broke = Error::new_up(ConnectionClosed);
        assert_eq!(exchange.outcome(Some(200), Some(&broke)), 503);
        let went = Error::new_down(WriteError);
        assert_eq!(exchange.outcome(Some(200), Some(&went)), 499);
        // An end without trailers is no gRPC.
        assert_eq!(exchange.outcome(Some(200), None), 500);
        exchange.grpc_status = Some(tonic::Code::NotFound);
        assert_eq!(exchange.outcome(Some(200), None), 404);
    }
}
