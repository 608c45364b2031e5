//! TLS with clients: what is agreed on, which certificate is shown, and who is let go.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stack::{Stack, eventually};

/// Longer than a handshake may take.
const PATIENCE: Duration = Duration::from_secs(15);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const GET: &[u8] = b"GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A certificate and its key in a folder, which is removed with this.
struct Certificate {
    folder: PathBuf,
    root: CertificateDer<'static>,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("grimoire-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let root = Self::write(&folder);
        Self { folder, root }
    }

    /// Puts another one into the same files.
    fn renew(&mut self) {
        self.root = Self::write(&self.folder);
    }

    fn write(folder: &std::path::Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
        made.cert.der().clone()
    }

    /// A gateway that shows it.
    async fn stack(&self, more: &[&str]) -> Stack {
        let file = |name| self.folder.join(name).display().to_string();
        let (certificate, key) = (file("tls.crt"), file("tls.key"));
        let tls = ["--tls-listen", "127.0.0.1:0", "--tls-cert"];
        let files = [certificate.as_str(), "--tls-key", key.as_str()];
        Stack::with(&[&tls[..], &files, more].concat()).await
    }

    /// A client that trusts it.
    fn client(&self) -> Client {
        Client {
            root: self.root.clone(),
            versions: vec![&TLS13],
            protocols: vec!["h2", "http/1.1"],
        }
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Client {
    root: CertificateDer<'static>,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<&'static str>,
}

impl Client {
    async fn connect(self, stack: &Stack) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocols = self.protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        let connection = TcpStream::connect(address(stack)).await?;
        TlsConnector::from(Arc::new(config))
            .connect(name, connection)
            .await
    }
}

fn address(stack: &Stack) -> SocketAddr {
    stack.tls_address.unwrap()
}

/// The refusal of a request of HTTP/1.1, in lower case.
async fn answer_over(connection: &mut TlsStream<TcpStream>) -> String {
    connection.write_all(GET).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        let read = timeout(PATIENCE, connection.read_buf(&mut answer)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "{answer:?}");
    }
    String::from_utf8(answer).unwrap().to_lowercase()
}

/// Whether nothing more comes, and the connection ends.
async fn is_closed<C: tokio::io::AsyncRead + Unpin>(connection: &mut C) -> bool {
    let mut rest = Vec::new();
    // Of who is let go in the middle of what it says, the end is a reset.
    let ended = timeout(PATIENCE, connection.read_to_end(&mut rest)).await;
    ended.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_is_spoken_over_tls() {
    let certificate = Certificate::new("http1");
    let stack = certificate.stack(&["--hsts", "60"]).await;
    for (versions, protocols) in [
        (vec![&TLS13], vec!["http/1.1"]),
        (vec![&TLS12], vec!["http/1.1"]),
        (vec![&TLS13], vec![]),
    ] {
        let client = Client {
            versions,
            protocols,
            ..certificate.client()
        };
        let mut connection = client.connect(&stack).await.unwrap();
        for _ in 0..2 {
            let answer = answer_over(&mut connection).await;
            assert!(answer.starts_with("http/1.1 401"), "{answer}");
            assert!(
                answer.contains("strict-transport-security: max-age=60\r\n"),
                "{answer}"
            );
        }
    }
    let plain = stack.get("/v1/users/me", None).await;
    assert_eq!(plain.header("strict-transport-security"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_over_tls_where_both_sides_agree_on_it() {
    let certificate = Certificate::new("http2");
    let stack = certificate.stack(&[]).await;
    let connection = certificate.client().connect(&stack).await.unwrap();
    assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) = h2::client::handshake(connection).await.unwrap();
    tokio::spawn(connection);
    let mut sender = sender.ready().await.unwrap();
    let token = format!("Bearer {}", stack.issuer.token());
    let request = http::Request::get("https://localhost/v1/users/me");
    let request = request.header("authorization", token).body(()).unwrap();
    let (answer, _) = sender.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_on_must_be_spoken() {
    let certificate = Certificate::new("agreed");
    let stack = certificate.stack(&[]).await;
    for (agreed, sent) in [("h2", GET), ("http/1.1", PREFACE)] {
        let client = Client {
            protocols: vec![agreed],
            ..certificate.client()
        };
        let mut connection = client.connect(&stack).await.unwrap();
        connection.write_all(sent).await.unwrap();
        assert!(is_closed(&mut connection).await, "{agreed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_to_who_comes_and_nobody_is_cut_off() {
    let mut certificate = Certificate::new("renewed");
    let stack = certificate.stack(&[]).await;
    let first = certificate.client();
    let before = Client {
        protocols: vec!["http/1.1"],
        ..certificate.client()
    };
    let mut before = before.connect(&stack).await.unwrap();
    answer_over(&mut before).await;
    certificate.renew();
    eventually("the new certificate", || async {
        certificate.client().connect(&stack).await.ok()
    })
    .await;
    assert!(first.connect(&stack).await.is_err());
    let answer = answer_over(&mut before).await;
    assert!(answer.starts_with("http/1.1 401"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_no_handshake_is_let_go_and_counted() {
    let certificate = Certificate::new("handshake");
    let stack = certificate.stack(&[]).await;
    let counted = async |reason: &str| {
        let name = format!("gateway_tls_handshakes_failed_total{{reason=\"{reason}\"}}");
        stack.metric(&name).await
    };
    let reasons = ["malformed", "incompatible", "refused", "gone", "timeout"];
    let mut before = Vec::new();
    for reason in reasons {
        before.push(counted(reason).await);
    }

    let mut silent = TcpStream::connect(address(&stack)).await.unwrap();
    let mut plain = TcpStream::connect(address(&stack)).await.unwrap();
    plain.write_all(GET).await.unwrap();
    assert!(is_closed(&mut plain).await);
    let of_another_time = Client {
        protocols: vec!["spdy/3"],
        ..certificate.client()
    };
    assert!(of_another_time.connect(&stack).await.is_err());
    let distrustful = Client {
        root: Certificate::new("another").root.clone(),
        ..certificate.client()
    };
    assert!(distrustful.connect(&stack).await.is_err());
    let mut begun = TcpStream::connect(address(&stack)).await.unwrap();
    begun.write_all(b"\x16\x03\x01").await.unwrap();
    drop(begun);
    assert!(is_closed(&mut silent).await);

    for (reason, before) in reasons.into_iter().zip(before) {
        eventually(reason, || async {
            (counted(reason).await > before).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_does_not_wait_for_a_handshake() {
    let certificate = Certificate::new("end");
    let mut stack = certificate.stack(&[]).await;
    let mut silent = TcpStream::connect(address(&stack)).await.unwrap();
    silent.write_all(b"\x16").await.unwrap();
    let mut idle = certificate.client().connect(&stack).await.unwrap();
    stack.stop();
    timeout(Duration::from_secs(8), stack.ended())
        .await
        .expect("it ends at once");
    assert!(is_closed(&mut silent).await && is_closed(&mut idle).await);
}
