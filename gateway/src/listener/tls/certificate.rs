//! The certificate and its key: two files, which whoever renews a certificate writes anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{self, SHA256};
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::provider;
use super::validity::Validity;
use crate::metrics;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// What the log says of files that are of no use.
const KEPT: &str = "the certificate is not renewed: the old one stays in use";

/// Where they are.
#[derive(Clone, Debug)]
pub(in crate::listener) struct Files {
    /// The certificate and those that lead to its root, in PEM.
    pub(in crate::listener) certificate: PathBuf,
    /// Its private key, in PEM.
    pub(in crate::listener) key: PathBuf,
}

/// What the files have is nothing to encrypt with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {path} ({variable}): {cause}")]
    Unreadable {
        variable: &'static str,
        path: PathBuf,
        cause: io::Error,
    },
    #[error("{0} (GRIMOIRE_TLS_CERT) has no certificate in PEM")]
    NoCertificate(PathBuf),
    #[error("{0} (GRIMOIRE_TLS_CERT) has something that is no certificate")]
    MalformedCertificate(PathBuf),
    #[error(
        "{0} (GRIMOIRE_TLS_KEY) has no private key in PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted"
    )]
    NoKey(PathBuf),
    #[error("{path} (GRIMOIRE_TLS_KEY) has a key that cannot be used: {cause}")]
    UnusableKey { path: PathBuf, cause: rustls::Error },
    #[error("{key} (GRIMOIRE_TLS_KEY) is not the key of {certificate} (GRIMOIRE_TLS_CERT)")]
    AnotherKey { certificate: PathBuf, key: PathBuf },
}

/// What connections that begin now are encrypted with.
#[derive(Debug)]
pub(super) struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Takes what the files have whenever that has changed. Connections that are open keep what they began with.
pub(crate) struct Follower {
    files: Files,
    current: Arc<Current>,
    /// Of what the files had at the last look; none where they could not be read.
    seen: Option<Vec<u8>>,
}

impl Follower {
    /// With what the files have now.
    pub(in crate::listener) fn new(files: Files) -> Result<Self, CertificateError> {
        let content = files.read()?;
        let (certified, validity) = content.certified(&files)?;
        validity.told();
        Ok(Self {
            current: Arc::new(Current(ArcSwap::from_pointee(certified))),
            seen: Some(content.digest()),
            files,
        })
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.clone()
    }

    /// Looks at the files again and again, until `stop`.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(LOOK);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            // A panic there is in the log.
            let Ok(back) = looked.await else { return };
            self = back;
        }
    }

    /// What is wrong with new files is told once, and the old ones stay in use. The two may be written one after the other: then the
    /// next look finds the pair.
    fn look(&mut self) {
        let content = match self.files.read() {
            Ok(content) => content,
            Err(error) => {
                if self.seen.take().is_some() {
                    tracing::error!(%error, "{KEPT}");
                }
                return;
            }
        };
        let digest = content.digest();
        if self.seen.as_ref() == Some(&digest) {
            return;
        }
        self.seen = Some(digest);
        match content.certified(&self.files) {
            Ok((certified, validity)) => {
                validity.told();
                self.current.0.store(Arc::new(certified));
                tracing::info!("new connections get the certificate that the files have now");
            }
            Err(error) => tracing::error!(%error, "{KEPT}"),
        }
    }
}

/// What the files have.
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(&self) -> Result<Content, CertificateError> {
        Ok(Content {
            certificate: read("GRIMOIRE_TLS_CERT", &self.certificate)?,
            key: read("GRIMOIRE_TLS_KEY", &self.key)?,
        })
    }
}

fn read(variable: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|cause| CertificateError::Unreadable {
        variable,
        path: path.to_owned(),
        cause,
    })
}

impl Content {
    /// The same for the same content: the key itself is not kept.
    fn digest(&self) -> Vec<u8> {
        let mut both = digest::Context::new(&SHA256);
        both.update(&self.certificate);
        both.update(&self.key);
        both.finish().as_ref().to_vec()
    }

    fn certified(&self, files: &Files) -> Result<(CertifiedKey, Validity), CertificateError> {
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.unwrap_or_default();
        let Some(first) = chain.first() else {
            return Err(CertificateError::NoCertificate(files.certificate.clone()));
        };
        let malformed = || CertificateError::MalformedCertificate(files.certificate.clone());
        let validity = Validity::of(first).ok_or_else(malformed)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| CertificateError::NoKey(files.key.clone()))?;
        let key = provider().key_provider.load_private_key(key);
        let key = key.map_err(|cause| CertificateError::UnusableKey {
            path: files.key.clone(),
            cause,
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok((certified, validity))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::AnotherKey {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
            }),
            Err(_) => Err(malformed()),
        }
    }
}

impl Validity {
    /// Tells it in metrics, and in the log where it is not now.
    fn told(self) {
        metrics::certificate_valid(self.begin, self.end);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs()).cast_signed();
        if now > self.end {
            tracing::warn!("the certificate has expired (GRIMOIRE_TLS_CERT): clients refuse it");
        } else if now < self.begin {
            tracing::warn!(
                "the certificate is not valid yet (GRIMOIRE_TLS_CERT): clients refuse it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;

    /// Files in a folder that is removed with them.
    struct Folder {
        path: PathBuf,
        files: Files,
    }

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("grimoire-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            let files = Files {
                certificate: path.join("tls.crt"),
                key: path.join("tls.key"),
            };
            Self { path, files }
        }

        fn write(&self, certificate: &str, key: &str) {
            fs::write(&self.files.certificate, certificate).unwrap();
            fs::write(&self.files.key, key).unwrap();
        }

        fn refusal(&self) -> String {
            let refused = Follower::new(self.files.clone()).map(drop);
            refused.unwrap_err().to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    fn pair() -> (String, String) {
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_file_and_variable() {
        let folder = Folder::new("refused");
        assert!(folder.refusal().contains("cannot read"));
        let (certificate, key) = pair();
        let (certificate, key) = (certificate.as_str(), key.as_str());
        let (_, another) = pair();
        let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (certificate, key, said) in [
            ("", key, "tls.crt (GRIMOIRE_TLS_CERT) has no certificate"),
            (key, key, "tls.crt (GRIMOIRE_TLS_CERT) has no certificate"),
            (
                no_certificate,
                key,
                "tls.crt (GRIMOIRE_TLS_CERT) has something",
            ),
            (
                certificate,
                "",
                "tls.key (GRIMOIRE_TLS_KEY) has no private key",
            ),
            (
                certificate,
                no_key,
                "tls.key (GRIMOIRE_TLS_KEY) has a key that",
            ),
            (
                certificate,
                another.as_str(),
                "tls.key (GRIMOIRE_TLS_KEY) is not the key",
            ),
        ] {
            folder.write(certificate, key);
            let refusal = folder.refusal();
            assert!(refusal.contains(said), "{refusal}");
        }
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = Folder::new("renewed");
        let (certificate, key) = pair();
        folder.write(&certificate, &key);
        let mut follower = Follower::new(folder.files.clone()).unwrap();
        let in_use = |follower: &Follower| follower.current.0.load().cert[0].to_vec();
        let first = in_use(&follower);
        follower.look();
        assert_eq!(in_use(&follower), first);

        let (certificate, key) = pair();
        fs::write(&folder.files.certificate, &certificate).unwrap();
        follower.look();
        assert_eq!(in_use(&follower), first, "its key is still to come");
        fs::write(&folder.files.key, &key).unwrap();
        follower.look();
        let second = in_use(&follower);
        assert_ne!(second, first);

        fs::remove_file(&folder.files.key).unwrap();
        follower.look();
        folder.write("nothing", "nothing");
        follower.look();
        assert_eq!(in_use(&follower), second);
    }
}
