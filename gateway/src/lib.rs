//! The public entry point of Grimoire: REST, gRPC and gRPC-Web in, gRPC to the services. README.md tells how it is made.

mod answer;
mod body;
mod client_address;
pub mod config;
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
mod rest;
mod scheme;
mod streamed;
mod transcode;
mod trust;
mod upstream;

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
use limits::Limits;
use listener::Ports;
use pages::Pages;
use places::Places;
use plan::Plan;
use proxy::Gateway;
use trust::Trust;
use trust::token::Tokens;
use upstream::Targets;

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
    #[error("the routes are not a plan: {0}")]
    Plan(#[from] plan::PlanError),
    #[error(transparent)]
    Upstream(#[from] upstream::MissingUpstream),
    #[error(transparent)]
    Listen(#[from] listener::ListenError),
    #[error(transparent)]
    Certificate(#[from] listener::CertificateError),
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Own(#[from] own::OwnError),
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
    let threads = config.worker_threads();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(serve(&config));
        // What is left are connections that did not end in time.
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
    let contracts = grimoire_proto::descriptors();
    let routes = Routes::compile(config, contracts)?;
    let table = routes.plan.table();
    let answer =
        move || std::future::ready(([(header::CONTENT_TYPE, "application/json")], table.clone()));
    let admin = Router::new().route("/routes", get(answer));
    let process = Process::start("gateway", &config.process, admin).await?;
    let started = open(config, contracts, routes, &process).await?;
    process.started();
    Ok(started.serve(&process).await?)
}

/// Opens the ports for the services of `contracts` and begins to follow what the gateway needs to know; the condition `trust` of
/// `process` holds when it is known.
pub async fn start(
    config: &Config,
    contracts: &DescriptorPool,
    process: &Process,
) -> Result<Started, StartError> {
    let routes = Routes::compile(config, contracts)?;
    open(config, contracts, routes, process).await
}

/// The description of the API as a gateway with this configuration would serve it: OpenAPI 3.1.
///
/// # Errors
/// Where the contracts make no plan.
pub fn openapi(config: &Config) -> Result<serde_json::Value, StartError> {
    let routes = Routes::compile(config, grimoire_proto::descriptors())?;
    Ok(openapi::document(&routes.plan))
}

/// What is made of the contracts before anything runs.
struct Routes {
    plan: Arc<Plan>,
    limits: Arc<Limits>,
}

impl Routes {
    fn compile(config: &Config, contracts: &DescriptorPool) -> Result<Self, StartError> {
        let limits = Limits::new(&config.limits);
        let mut plan = Plan::compile(contracts, &config.bounds, &limits, config.reflects())?;
        if config.documents() {
            plan.pages = Pages::new(&openapi::document(&plan));
        }
        Ok(Self {
            plan: Arc::new(plan),
            limits: Arc::new(limits),
        })
    }
}

async fn open(
    config: &Config,
    contracts: &DescriptorPool,
    routes: Routes,
    process: &Process,
) -> Result<Started, StartError> {
    let Routes { plan, limits } = routes;
    process
        .environment
        .refuse_loopback("GRIMOIRE_ISSUER", &config.tokens.issuer)?;
    // It would lend the address of whoever looks at it to any page: to try passwords from, and to read the answers.
    let origins = config.browsers.cors_origins.clone().unwrap_or_default();
    process
        .environment
        .refuse("GRIMOIRE_CORS_ORIGINS", origins == Origins::Any)?;
    metrics::prepare();
    metrics::plan(&plan.hash());

    let stop = &process.stop;
    let services = contracts
        .services()
        .map(|service| service.full_name().to_owned());
    let services = services.filter(|service| plan.serves(service)).collect();
    let descriptors = config
        .reflects()
        .then_some(grimoire_proto::EDGE_DESCRIPTOR_SET);
    let (own, serve_own) = own::serve(
        descriptors,
        services,
        process.readiness.clone(),
        stop.clone(),
    )
    .await?;
    let mut needed = plan.upstreams();
    needed.insert(AUTH.to_owned());
    let targets = Arc::new(Targets::new(
        needed,
        &config.upstreams.0,
        own,
        config.worker_threads(),
    )?);
    let (ports, certificate) = Ports::open(config)?;

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
    beside("the server of reflection and health", serve_own.boxed());
    beside("the look for addresses of services", {
        let (targets, stop) = (targets.clone(), stop.clone());
        async move { targets.keep_current(stop).await }.boxed()
    });
    beside("the keeping of limits", {
        let (limits, stop) = (limits.clone(), stop.clone());
        async move { limits.keep_house(stop).await }.boxed()
    });
    if let Some(certificate) = certificate {
        let following = certificate.follow(stop.clone());
        beside("the following of the certificate", following.boxed());
    }
    if let Some(auth) = targets.get(AUTH) {
        let following = trust::follow::follow(trust.clone(), auth.clone(), stop.clone());
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
        plan,
        targets,
        trust,
        limits,
        origins,
        stop: stop.clone(),
        own_streams: Places::new(OWN_STREAMS, OWN_STREAMS_OF_ONE),
        max_head: config.bounds.max_head,
        idle: config.connections.idle(),
        hsts: config.tls.hsts(config.process.environment),
        trusted_proxies: config.limits.trusted_proxies,
        threads: config.worker_threads(),
    };
    tracing::info!(
        listen = %ports.plain.address,
        tls_listen = ports.tls_address().map(tracing::field::display),
        "listening"
    );
    Ok(Started {
        ports,
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
        let served = self.ports.serve(self.gateway, &self.config, stop.clone());
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
