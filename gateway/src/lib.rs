//! The public entry point of Grimoire: REST, gRPC and gRPC-Web in, gRPC to the services. README.md tells how it is made.

mod answer;
mod body;
mod client_address;
pub mod config;
mod contracts;
mod deadline;
mod exchange;
mod filters;
mod grpc_web;
mod limits;
mod listener;
mod log_line;
mod metrics;
mod open_files;
mod openapi;
mod own;
mod pages;
mod pass_through;
mod places;
mod plan;
mod problem;
mod protocol;
mod proxy;
mod reload;
mod rest;
mod scheme;
mod serving;
mod streamed;
mod transcode;
mod trust;
mod upstream;
mod workers;

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use chassis::process::{DevelopmentValue, Process};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use prost_reflect::DescriptorPool;
use tokio::task::JoinSet;

pub use config::Config;
use config::Origins;
use contracts::Folder;
use limits::Limits;
use listener::Ports;
use own::Own;
use places::Places;
use proxy::Gateway;
use reload::Followed;
use serving::{Current, Maker, ServingError};
use trust::Trust;
use trust::token::Tokens;
use upstream::Targets;
use workers::Workers;

/// Name in the topology of who serves `TrustService`.
const AUTH: &str = "auth";
/// The condition of readiness: the first complete snapshot of keys and revocations is in.
const TRUST: &str = "trust";
/// Calls of reflection and health at once, altogether and of one client address: each may be a stream that stays open.
const OWN_STREAMS: usize = 1000;
const OWN_STREAMS_OF_ONE: usize = 50;

/// Where Pingora complains of clients. It has a line for each that goes too early, so that anybody could fill the log; each request has one of
/// ours, and a connection without a request is counted.
const QUIET: &str = "pingora_proxy=off,pingora_core::protocols=off,pingora_core::apps=off";

/// Why a gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Serving(#[from] ServingError),
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    #[error(transparent)]
    Certificate(#[from] listener::CertificateError),
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Own(#[from] own::OwnError),
    #[error("cannot start the worker threads that GRIMOIRE_THREADS asks for: {0}")]
    Workers(std::io::Error),
    #[error(transparent)]
    DevelopmentValue(#[from] DevelopmentValue),
}

/// Something that the gateway cannot be without came to an end before its time; a panic is in the log, where it happened.
#[derive(Debug, thiserror::Error)]
#[error("{0} came to an end")]
pub struct TaskEnded(&'static str);

/// A gateway whose ports are open, and which answers once [`Started::serve`] runs.
pub struct Started {
    ports: Ports,
    workers: Workers,
    gateway: Gateway,
    config: Config,
    /// What runs beside it until the process is to stop.
    tasks: JoinSet<&'static str>,
}

/// Runs the process to its end. What it fails with is logged and becomes exit code 1.
pub fn run(config: Config) -> ExitCode {
    let mut told = config.process.telemetry.clone();
    told.log = format!("{QUIET},{}", told.log);
    let telemetry = match telemetry::init("gateway", &told) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Clients are served by threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(serve(&config));
        runtime.shutdown_background();
        result
    });
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "the process ends because it failed"
            );
            ExitCode::FAILURE
        }
    };
    drop(telemetry);
    code
}

async fn serve(config: &Config) -> anyhow::Result<()> {
    let prepared = Prepared::new(config, grimoire_proto::descriptors()).await?;
    let current = prepared.current.clone();
    let table = move || {
        let table = current.load().plan.table();
        std::future::ready(([(header::CONTENT_TYPE, "application/json")], table))
    };
    let admin = Router::new().route("/routes", get(table));
    let process = Process::start("gateway", &config.process, admin).await?;
    let started = open(config, prepared, &process)?;
    process.started();
    Ok(started.serve(&process).await?)
}

/// Opens the ports for the services of `contracts`, and of the folder of contracts where there is one, and begins to follow what the
/// gateway needs to know; the condition `trust` of `process` holds when it is known.
pub async fn start(
    config: &Config,
    contracts: &DescriptorPool,
    process: &Process,
) -> Result<Started, StartError> {
    let prepared = Prepared::new(config, contracts).await?;
    open(config, prepared, process)
}

/// The description of the API as a gateway with this configuration would serve it: OpenAPI 3.1.
///
/// # Errors
/// Where the contracts make no plan.
pub fn openapi(config: &Config) -> Result<serde_json::Value, StartError> {
    let folder = folder(config)?;
    let compiled_in = grimoire_proto::descriptors();
    let contracts = serving::contracts(config, compiled_in, folder.as_ref());
    let contracts = contracts.map_err(ServingError::from)?;
    let plan = serving::plan(config, &contracts, &Limits::new(&config.limits));
    Ok(openapi::document(&plan.map_err(ServingError::from)?))
}

/// What the folder of contracts has, where there is one.
fn folder(config: &Config) -> Result<Option<Folder>, ServingError> {
    let folder = config.contracts_dir.as_deref().map(Folder::read);
    Ok(folder.transpose()?)
}

/// What is made of the contracts before anything runs.
struct Prepared {
    own: Own,
    maker: Maker,
    current: Arc<Current>,
    folder: Option<Followed>,
}

impl Prepared {
    async fn new(config: &Config, contracts: &DescriptorPool) -> Result<Self, StartError> {
        let own = Own::open().await?;
        let maker = Maker {
            config: config.clone(),
            compiled_in: contracts.clone(),
            limits: Arc::new(Limits::new(&config.limits)),
            own: own.address,
            health: own.health.clone(),
        };
        let folder = folder(config)?;
        let serving = maker.make(folder.as_ref(), &Targets::default())?;
        let folder = folder.zip(config.contracts_dir.clone());
        Ok(Self {
            own,
            maker,
            current: Current::new(serving),
            folder: folder.map(|(folder, path)| Followed {
                path,
                mark: folder.mark,
            }),
        })
    }
}

fn open(config: &Config, prepared: Prepared, process: &Process) -> Result<Started, StartError> {
    let Prepared {
        own,
        maker,
        current,
        folder,
    } = prepared;
    process
        .environment
        .refuse_loopback("GRIMOIRE_ISSUER", &config.tokens.issuer)?;
    // It would lend the address of whoever looks at it to any page: to try passwords from, and to read the answers.
    let origins = config.browsers.cors_origins.clone().unwrap_or_default();
    process
        .environment
        .refuse("GRIMOIRE_CORS_ORIGINS", origins == Origins::Any)?;
    // Whoever reaches it could give everybody's budgets back, and its password makes the names of clients in it.
    let store = config.limits.rate_limit_url.as_ref();
    let open_store = store.is_some_and(|store| store.password().is_none());
    process.environment.refuse("RATE_LIMIT_URL", open_store)?;
    metrics::prepare();

    let stop = &process.stop;
    let (ports, certificate) = Ports::open(config)?;
    let workers = Workers::start(config.worker_threads()).map_err(StartError::Workers)?;

    let trust = Arc::new(Trust::new());
    let known = process.readiness.condition(TRUST);
    let mut tasks = JoinSet::new();
    let mut beside = |name, task: BoxFuture<'static, ()>| {
        tasks.spawn(async move {
            // A panic would tell no name.
            let _ = AssertUnwindSafe(task).catch_unwind().await;
            name
        });
    };
    beside("the server of reflection and health", {
        let readiness = process.readiness.clone();
        own.serve(current.clone(), readiness, stop.clone()).boxed()
    });
    beside("the look for addresses of services", {
        let (current, stop) = (current.clone(), stop.clone());
        async move { current.keep_addresses(stop).await }.boxed()
    });
    let limits = maker.limits.clone();
    if let Some(folder) = folder {
        let following = reload::follow(folder, Arc::new(maker), current.clone(), stop.clone());
        beside(
            "the following of the folder of contracts",
            following.boxed(),
        );
    }
    beside("the keeping of limits", {
        let (limits, stop) = (limits.clone(), stop.clone());
        async move { limits.keep_house(stop).await }.boxed()
    });
    if let Some(certificate) = certificate {
        let following = certificate.follow(stop.clone());
        beside("the following of the certificate", following.boxed());
    }
    // No folder changes where it is.
    if let Some(auth) = current.load().targets.get(AUTH).cloned() {
        let following = trust::follow::follow(trust.clone(), auth, stop.clone());
        beside("the following of trust", following.boxed());
    }
    beside("the readiness of trust", {
        let (trust, stop) = (trust.clone(), stop.clone());
        let known = async move {
            trust.known().await;
            known.set(true);
            std::future::pending::<()>().await
        };
        async move {
            stop.run_until_cancelled(known).await;
        }
        .boxed()
    });

    let gateway = Gateway {
        tokens: Tokens::new(&config.tokens, trust.clone()),
        current,
        trust,
        limits,
        origins,
        stop: stop.clone(),
        own_streams: Places::new(OWN_STREAMS, OWN_STREAMS_OF_ONE),
        max_head: config.bounds.max_head,
        idle: config.connections.idle(),
        hsts: config.tls.hsts(config.process.environment),
        trusted_proxies: config.limits.trusted_proxies,
    };
    tracing::info!(
        listen = %ports.plain.address,
        tls_listen = ports.tls_address().map(tracing::field::display),
        "listening"
    );
    Ok(Started {
        ports,
        workers,
        gateway,
        config: config.clone(),
        tasks,
    })
}

impl Started {
    /// Where the gateway listens in plain text; of use when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.ports.plain.address
    }

    /// Where it listens for TLS, if it does.
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.ports.tls_address()
    }

    /// Serves until the process is to stop and the requests on their way have ended.
    ///
    /// # Errors
    /// Names what ended before: without it the gateway would go on with what it knows, and nobody would notice.
    pub async fn serve(mut self, process: &Process) -> Result<(), TaskEnded> {
        let stop = &process.stop;
        let served = self
            .ports
            .serve(self.gateway, &self.config, &self.workers, stop.clone());
        let ended = async {
            match self.tasks.join_next().await {
                Some(Ok(name)) if !stop.is_cancelled() => {
                    stop.cancel();
                    Err(TaskEnded(name))
                }
                _ => Ok(()),
            }
        };
        let ((), ended) = tokio::join!(served, ended);
        ended
    }
}
