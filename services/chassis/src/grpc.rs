//! A gRPC server as every service runs it: health, reflection, access checks, deadlines, traces and metrics around the handlers,
//! and an end that lets running calls finish.

mod admission;
mod calls;
mod health;
mod methods;
mod peers;
mod reflection;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use axum::response::IntoResponse;
use futures::FutureExt as _;
use http::Request;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tower::Service;

use crate::process::{DevelopmentValue, Environment, Process};

pub use calls::code_name;
pub(crate) use calls::record;

/// How long calls and background tasks may go on after the process was told to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Calls at once on one connection; a further one waits at its sender.
const STREAMS: u32 = 1_024;
/// Bytes of the headers of one call.
const HEADERS: u32 = 32 * 1024;

/// What an operator decides about the gRPC server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "gRPC")]
pub struct GrpcConfig {
    /// Address to serve on
    #[arg(long, env = "GRIMOIRE_LISTEN", default_value = "127.0.0.1:50051", value_name = "ADDRESS",
          value_parser = crate::process::address)]
    pub listen: SocketAddr,

    /// Identities of the processes that may call, in a mesh: l5d-client-id values, comma separated; the first label is the name
    /// of the process in the topology
    #[arg(
        long,
        env = "GRIMOIRE_MESH_IDENTITIES",
        value_delimiter = ',',
        value_name = "IDENTITIES"
    )]
    pub mesh_identities: Vec<String>,

    /// Serve on more than loopback without a mesh: whoever reaches the port may act as anybody. Development only
    #[arg(long, env = "GRIMOIRE_ALLOW_PLAINTEXT", value_name = "BOOLEAN", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", action = clap::ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_plaintext: bool,

    /// Whether to serve reflection, which tells what there is to call. Default: in development only
    #[arg(long, env = "GRIMOIRE_REFLECTION", value_name = "BOOLEAN", action = clap::ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub reflection: Option<bool>,
}

/// Why a server could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum GrpcError {
    /// Everybody could call, and nothing says that this is meant.
    #[error(
        "GRIMOIRE_LISTEN={0} is not loopback: set GRIMOIRE_MESH_IDENTITIES to the peers that may call, or, in development, \
         GRIMOIRE_ALLOW_PLAINTEXT=1"
    )]
    Exposed(SocketAddr),
    /// Production refuses `GRIMOIRE_ALLOW_PLAINTEXT`.
    #[error(transparent)]
    DevelopmentValue(#[from] DevelopmentValue),
    /// A service that the contracts do not describe has no access options.
    #[error("{0} is not in the contracts: nothing says who may call it")]
    Undescribed(&'static str),
    /// The address is taken, or is not one of this machine.
    #[error("cannot listen on {address} (GRIMOIRE_LISTEN): {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The descriptors cannot be served.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The server failed.
    #[error("the server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// A background task failed.
    #[error("{name} failed: {cause}")]
    Task {
        /// Its name.
        name: &'static str,
        /// Why.
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// What a service consists of: its gRPC services and its background tasks.
#[derive(Default)]
pub struct Services {
    routes: RoutesBuilder,
    names: BTreeSet<&'static str>,
    tasks: Vec<(&'static str, Task)>,
}

type TaskResult = Result<(), Box<dyn Error + Send + Sync>>;
type Task = Pin<Box<dyn Future<Output = TaskResult> + Send>>;

impl Services {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves one more gRPC service. Its methods get 4 MiB per message, tonic's default.
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self.names.insert(S::NAME);
        self
    }

    /// Runs one more background task beside the server. It ends by itself when `Process::stop` is cancelled; one that fails ends
    /// the process.
    pub fn task<E>(
        mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let task = async move {
            let ended: TaskResult = task.await.map_err(Into::into);
            ended
        };
        self.tasks.push((name, Box::pin(task)));
        self
    }
}

/// Serves `services` until the process must stop, then lets what runs finish within 10 s. Ready as soon as the port is open and
/// every other condition of the process holds.
pub async fn serve(
    process: Process,
    config: &GrpcConfig,
    services: Services,
) -> Result<(), GrpcError> {
    let address = config.listen;
    let failed = |cause| GrpcError::Listen { address, cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    serve_on(listener, process, config, services).await
}

/// As [`serve`], on a listener that is open already: for tests on a free port. `config.listen` is not looked at.
pub async fn serve_on(
    listener: TcpListener,
    process: Process,
    config: &GrpcConfig,
    services: Services,
) -> Result<(), GrpcError> {
    let address = listener.local_addr().map_err(|cause| GrpcError::Listen {
        address: config.listen,
        cause,
    })?;
    let peers = config.peers(address, process.environment)?;
    let methods = methods::Methods::of(&services.names)?;
    let mut routes = services.routes.routes();
    let (health, reporter) = health::service();
    routes = routes.add_service(health);
    if config
        .reflection
        .unwrap_or(process.environment == Environment::Development)
    {
        routes = reflection::add(routes, &services.names)?;
    }

    let stop = process.stop.clone();
    let reporter = tokio::spawn(health::follow(
        reporter,
        services.names,
        process.readiness.clone(),
        stop.clone(),
    ));
    let mut tasks = JoinSet::new();
    for (name, task) in services.tasks {
        tasks.spawn(async move { (name, AssertUnwindSafe(task).catch_unwind().await) });
    }
    process.started();
    tracing::info!(%address, "serving gRPC");

    let result = tokio::select! {
        result = server(listener, calls::Calls::new(methods, peers, routes.prepare()), stop.clone()) => result.map_err(GrpcError::from),
        error = first_failure(&mut tasks) => Err(error),
        () = drained(&stop) => {
            tracing::warn!("calls still run 10 s after the stop signal: they are cut off");
            Ok(())
        }
    };
    stop.cancel();
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        tracing::warn!(
            "background tasks still run 10 s after the end of the server: they are cut off"
        );
    }
    reporter.abort();
    result
}

impl GrpcConfig {
    /// Whether calls may be made without a check of the peer is decided here, once.
    fn peers(
        &self,
        address: SocketAddr,
        environment: Environment,
    ) -> Result<peers::Peers, GrpcError> {
        environment.refuse("GRIMOIRE_ALLOW_PLAINTEXT", self.allow_plaintext)?;
        let identities: Vec<String> = self
            .mesh_identities
            .iter()
            .map(|identity| identity.trim().to_owned())
            .filter(|identity| !identity.is_empty())
            .collect();
        if !identities.is_empty() {
            return Ok(peers::Peers::Mesh(identities));
        }
        if !address.ip().is_loopback() && !self.allow_plaintext {
            return Err(GrpcError::Exposed(address));
        }
        tracing::info!(
            "peers are not checked: whoever reaches this port may act as anybody by grimoire-subject"
        );
        Ok(peers::Peers::Unchecked)
    }
}

async fn server(
    listener: TcpListener,
    calls: calls::Calls<Routes>,
    stop: tokio_util::sync::CancellationToken,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .max_concurrent_streams(STREAMS)
        // A peer that is gone without a word is noticed, and its calls are ended, within 40 s.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(HEADERS)
        .serve_with_incoming_shutdown(
            calls,
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
        .await
}

/// The first task that fails; never, when none does.
async fn first_failure(
    tasks: &mut JoinSet<(&'static str, std::thread::Result<TaskResult>)>,
) -> GrpcError {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok((_, Ok(Ok(())))) => {}
            Ok((name, Ok(Err(cause)))) => return GrpcError::Task { name, cause },
            Ok((name, Err(_))) => {
                return GrpcError::Task {
                    name,
                    cause: "it panicked".into(),
                };
            }
            Err(error) => {
                return GrpcError::Task {
                    name: "a background task",
                    cause: error.into(),
                };
            }
        }
    }
    std::future::pending().await
}

async fn drained(stop: &tokio_util::sync::CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(
        listen: &str,
        identities: &[&str],
        plaintext: bool,
        environment: Environment,
    ) -> Result<peers::Peers, String> {
        let listen = listen.parse().unwrap();
        let config = GrpcConfig {
            listen,
            mesh_identities: identities.iter().map(ToString::to_string).collect(),
            allow_plaintext: plaintext,
            reflection: None,
        };
        config
            .peers(listen, environment)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn more_than_loopback_needs_a_mesh_or_permission() {
        let error = peers("0.0.0.0:1", &[], false, Environment::Development).unwrap_err();
        assert!(
            error.contains("GRIMOIRE_MESH_IDENTITIES")
                && error.contains("GRIMOIRE_ALLOW_PLAINTEXT=1"),
            "{error}"
        );
        assert!(peers("0.0.0.0:1", &[""], true, Environment::Development).is_ok());
        assert!(peers("127.0.0.1:1", &[], false, Environment::Production).is_ok());
        assert!(matches!(
            peers("0.0.0.0:1", &["gateway.x"], false, Environment::Production),
            Ok(peers::Peers::Mesh(_))
        ));
    }

    #[test]
    fn production_refuses_plaintext() {
        for listen in ["0.0.0.0:1", "127.0.0.1:1"] {
            let error = peers(listen, &["gateway.x"], true, Environment::Production).unwrap_err();
            assert!(
                error.contains("GRIMOIRE_ALLOW_PLAINTEXT has a value for development"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_well_is_no_failure_and_one_that_panics_is() {
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            (
                "seed",
                AssertUnwindSafe(async { TaskResult::Ok(()) })
                    .catch_unwind()
                    .await,
            )
        });
        assert!(first_failure(&mut tasks).now_or_never().is_none());
        tasks.spawn(async {
            let task = async {
                if std::hint::black_box(true) {
                    panic!("oops")
                } else {
                    TaskResult::Ok(())
                }
            };
            ("relay", AssertUnwindSafe(task).catch_unwind().await)
        });
        assert_eq!(
            first_failure(&mut tasks).await.to_string(),
            "relay failed: it panicked"
        );
    }
}
