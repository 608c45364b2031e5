//! What an operator decides about encryption.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chassis::process::Environment;
use http::HeaderValue;

/// TLS, where nothing in front of the gateway ends it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsConfig {
    /// Address of a second public listener, over TLS; needs a certificate and its key. Unset: none, and TLS ends in front of the gateway
    #[arg(
        long,
        env = "GRIMOIRE_TLS_LISTEN",
        value_name = "ADDRESS",
        requires_all = ["tls_cert", "tls_key"]
    )]
    pub tls_listen: Option<SocketAddr>,

    /// File with the certificate and those that lead to its root, in PEM. Read again when it changes
    #[arg(
        long,
        env = "GRIMOIRE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_listen"
    )]
    pub tls_cert: Option<PathBuf>,

    /// File with the private key of the certificate, in PEM, not encrypted. Read again when it changes
    #[arg(
        long,
        env = "GRIMOIRE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_listen"
    )]
    pub tls_key: Option<PathBuf>,

    /// Seconds for which browsers that came over TLS must not come without it (Strict-Transport-Security); 0: it is not said. Default: a
    /// year in production, 0 in development
    #[arg(long, env = "GRIMOIRE_HSTS", value_name = "SECONDS")]
    pub hsts: Option<u32>,
}

/// Seconds of a year: for how long browsers are told to use TLS.
const HSTS: u32 = 31_536_000;

impl TlsConfig {
    /// Address, certificate and key. clap sees to it that there are all of them or none.
    pub(crate) fn listener(&self) -> Option<(SocketAddr, &Path, &Path)> {
        let (certificate, key) = (self.tls_cert.as_deref()?, self.tls_key.as_deref()?);
        Some((self.tls_listen?, certificate, key))
    }

    /// What a browser is told that came over TLS (RFC 6797).
    pub(crate) fn hsts(&self, environment: Environment) -> Option<HeaderValue> {
        let usual = match environment {
            Environment::Production => HSTS,
            Environment::Development => 0,
        };
        let seconds = self.hsts.unwrap_or(usual);
        let said = HeaderValue::try_from(format!("max-age={seconds}")).ok();
        said.filter(|_| seconds > 0)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::config::Config;

    #[test]
    fn a_listener_over_tls_a_certificate_and_a_key_come_together() {
        let all = ["--tls-listen=127.0.0.1:0", "--tls-cert=a", "--tls-key=b"];
        let parsed = |given: &[&str]| {
            let config = Config::try_parse_from(["gateway", "--upstreams="].iter().chain(given));
            config.map(|config| config.tls.listener().is_some())
        };
        assert!(parsed(&all).unwrap());
        assert!(!parsed(&[]).unwrap());
        for left_out in 0..all.len() {
            let mut given = all.to_vec();
            given.remove(left_out);
            assert!(parsed(&given).is_err(), "{given:?}");
            assert!(parsed(&all[left_out..=left_out]).is_err());
        }
    }

    #[test]
    fn browsers_are_bound_to_tls_in_production_unless_it_is_said_otherwise() {
        let hsts = |given: &[&str]| {
            let config = Config::parse_from(["gateway", "--upstreams="].iter().chain(given));
            config.tls.hsts(config.process.environment)
        };
        assert_eq!(hsts(&[]), None);
        assert_eq!(hsts(&["--env=production"]).unwrap(), "max-age=31536000");
        assert_eq!(hsts(&["--env=production", "--hsts=0"]), None);
        assert_eq!(hsts(&["--hsts=60"]).unwrap(), "max-age=60");
    }
}
