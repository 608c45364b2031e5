//! Whether a process answers: one try each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::{Connection, PgConnection};

use crate::instance::Instance;
use crate::topology::Kind;

/// Tries one process again and again, with what may be kept between tries.
pub(crate) enum Probe {
    /// A path that answers 200.
    Http(SocketAddr, String),
    /// A server that lets its superuser in.
    Postgres(String),
    /// A broker that lists itself.
    Kafka(Box<BaseConsumer>),
}

impl Probe {
    pub(crate) fn new(instance: &Instance, name: &str) -> Result<Self> {
        let process = instance.topology.process(name)?;
        Ok(match process.kind {
            Kind::Postgres => Self::Postgres(instance.superuser_url()?),
            Kind::Kafka => {
                let mut config = ClientConfig::new();
                config
                    .set("bootstrap.servers", instance.bootstrap()?)
                    .set("reconnect.backoff.max.ms", "100");
                Self::Kafka(Box::new(
                    config.create().context("cannot make a Kafka client")?,
                ))
            }
            Kind::Service => {
                let path = process
                    .readiness
                    .clone()
                    .with_context(|| format!("{name} has no readiness path"))?;
                Self::Http(instance.admin_address(name)?, path)
            }
            Kind::Observer => {
                let (address, path) = instance.observer(name)?.readiness.clone();
                Self::Http(address, path)
            }
            Kind::Setup => bail!("{name} is ready when it has ended"),
        })
    }

    /// Succeeds when it answers as it should.
    ///
    /// # Errors
    /// Says what it answers.
    pub(crate) fn attempt(&self) -> Result<()> {
        match self {
            Self::Http(address, path) => {
                let (status, body) = get(*address, path)?;
                ensure!(status == 200, "{path} answers {status} {}", body.trim());
            }
            Self::Postgres(url) => {
                block_on(async { PgConnection::connect(url).await?.close().await })??;
            }
            Self::Kafka(client) => {
                let metadata = client.fetch_metadata(None, Duration::from_secs(1))?;
                ensure!(!metadata.brokers().is_empty(), "no broker is there");
            }
        }
        Ok(())
    }
}

/// Status and body of an HTTP/1.1 answer from a process of ours.
pub fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: who answers the first of several and closes makes the rest an error.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(1 << 16).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is not HTTP")?;
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("the answer has no status")?;
    Ok((status, body.to_owned()))
}

/// Runs a future to its end on this thread.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn readiness_is_what_the_path_answers() {
        for (answer, ready) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 503 Busy\r\n\r\nwaits for kafka", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let probe = Probe::Http(listener.local_addr().unwrap(), "/readyz".into());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            });
            let attempt = probe.attempt();
            assert_eq!(attempt.is_ok(), ready);
            assert!(
                ready
                    || attempt
                        .unwrap_err()
                        .to_string()
                        .contains("503 waits for kafka")
            );
            assert!(server.join().unwrap().starts_with("GET /readyz "));
        }
    }
}
