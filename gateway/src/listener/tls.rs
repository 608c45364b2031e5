//! TLS for clients: handshakes within bounds, by a certificate that is read again when its files change.

mod certificate;
mod encrypted;
mod validity;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::Stream;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use tokio_rustls::TlsAcceptor;

use crate::metrics;
use crate::places::Places;
pub(super) use certificate::Files;
pub(crate) use certificate::{CertificateError, Follower};
use encrypted::Encrypted;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at once, altogether and of one client address: until its end each may hold 64 KiB of what the client says.
const HANDSHAKES: usize = 1000;
const HANDSHAKES_OF_ONE: usize = 100;

/// Why there was no handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// Too many are under way.
    Full,
    /// It took too long.
    Timeout,
    /// The client went.
    Gone,
    /// The client does not speak TLS, or does it wrongly.
    Malformed,
    /// It speaks no version, no suite or no protocol that we do.
    Incompatible,
    /// It does not want this certificate.
    Refused,
}

impl HandshakeFailure {
    pub(crate) const ALL: [Self; 6] = [
        Self::Full,
        Self::Timeout,
        Self::Gone,
        Self::Malformed,
        Self::Incompatible,
        Self::Refused,
    ];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::Gone => "gone",
            Self::Malformed => "malformed",
            Self::Incompatible => "incompatible",
            Self::Refused => "refused",
        }
    }
}

/// What makes encrypted connections of plain ones.
pub(super) struct Handshakes {
    acceptor: TlsAcceptor,
    places: Arc<Places>,
}

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>) -> Self {
        Self {
            acceptor: config.into(),
            places: Places::new(HANDSHAKES, HANDSHAKES_OF_ONE),
        }
    }

    /// The connection in the clear, where there is one within the bounds.
    pub(super) async fn shake(&self, stream: Stream, client: Option<IpAddr>) -> Option<Stream> {
        let shaken = self.within_bounds(stream, client).await;
        shaken
            .inspect_err(|failure| metrics::handshake_failed(*failure))
            .ok()
    }

    async fn within_bounds(
        &self,
        stream: Stream,
        client: Option<IpAddr>,
    ) -> Result<Stream, HandshakeFailure> {
        let _place = self
            .places
            .take(client)
            .map_err(|_| HandshakeFailure::Full)?;
        let accepted = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream)).await;
        let accepted = accepted.map_err(|_| HandshakeFailure::Timeout)?;
        let stream = accepted.map_err(|error| failure_of(&error))?;
        Ok(Box::new(Encrypted::new(stream)))
    }
}

fn failure_of(error: &io::Error) -> HandshakeFailure {
    use rustls::Error;
    let ours = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Error>());
    match ours {
        None => HandshakeFailure::Gone,
        Some(Error::AlertReceived(_)) => HandshakeFailure::Refused,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
            HandshakeFailure::Incompatible
        }
        Some(_) => HandshakeFailure::Malformed,
    }
}

/// What clients may agree on: TLS 1.2 and 1.3, whose suites all have forward secrecy and authenticate what they encrypt, then HTTP/2 or
/// HTTP/1.1. There is no early data, which could be sent again by others.
pub(super) fn server_config(follower: &Follower) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(follower.current());
    config.alpn_protocols = [&b"h2"[..], b"http/1.1"].map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}

/// The one that every part of the process uses.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_what_the_client_did() {
        let of =
            |error: rustls::Error| failure_of(&io::Error::new(io::ErrorKind::InvalidData, error));
        let incompatible = rustls::PeerIncompatible::NoCipherSuitesInCommon;
        assert_eq!(of(incompatible.into()), HandshakeFailure::Incompatible);
        assert_eq!(
            of(rustls::Error::NoApplicationProtocol),
            HandshakeFailure::Incompatible
        );
        let unknown_ca = rustls::AlertDescription::UnknownCA;
        assert_eq!(
            of(rustls::Error::AlertReceived(unknown_ca)),
            HandshakeFailure::Refused
        );
        let no_tls = rustls::InvalidMessage::InvalidContentType;
        assert_eq!(of(no_tls.into()), HandshakeFailure::Malformed);
        let broken = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(failure_of(&broken), HandshakeFailure::Gone);
    }
}
