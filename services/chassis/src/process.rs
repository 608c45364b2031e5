//! A process, whatever it serves: configuration, the admin port, readiness and the stop signal. Nothing here knows gRPC.

mod admin;
mod configuration;
mod explain;
mod readiness;
mod secret;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use telemetry::TelemetryConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

pub use configuration::{address, configuration, seconds};
pub use readiness::{Condition, Readiness};
pub use secret::Secret;

/// What an operator decides about every process.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessConfig {
    /// Where this runs; production refuses values that are for development only
    #[arg(
        long = "env",
        env = "GRIMOIRE_ENV",
        default_value = "development",
        value_enum
    )]
    pub environment: Environment,

    /// Address of the admin port: /livez, /readyz, /metrics
    #[arg(long, env = "GRIMOIRE_ADMIN_LISTEN", default_value = "127.0.0.1:9100",
          value_name = "ADDRESS", value_parser = address)]
    pub admin_listen: SocketAddr,

    /// Seconds between the stop signal, when /readyz turns 503, and the end of listening
    #[arg(long, env = "GRIMOIRE_DRAIN_DELAY", default_value = "0", value_name = "SECONDS", value_parser = seconds)]
    pub drain_delay: Duration,

    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// Where a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Environment {
    /// Somebody's machine.
    Development,
    /// Anywhere else: values that are for development only are refused.
    Production,
}

impl Environment {
    /// Fails in production when `variable` has a value that is for development only.
    pub fn refuse(
        self,
        variable: &'static str,
        development_value: bool,
    ) -> Result<(), DevelopmentValue> {
        if self == Self::Production && development_value {
            Err(DevelopmentValue(variable))
        } else {
            Ok(())
        }
    }

    /// Fails in production when `variable` is a URL at this machine, where only this machine would go.
    pub fn refuse_loopback(
        self,
        variable: &'static str,
        url: &str,
    ) -> Result<(), DevelopmentValue> {
        self.refuse(variable, is_loopback(url))
    }
}

/// Whether the host of a URL is this machine.
fn is_loopback(url: &str) -> bool {
    let uri = url.parse::<http::Uri>().unwrap_or_default();
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let host = host.trim_matches(['[', ']']).trim_end_matches('.');
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

/// A variable has a value that is for development only.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} has a value for development, which GRIMOIRE_ENV=production refuses: unset it or give it its own value"
)]
pub struct DevelopmentValue(&'static str);

/// Why a process could not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The admin port is taken, or is not an address of this machine.
    #[error("cannot listen on {address} (GRIMOIRE_ADMIN_LISTEN): {cause}")]
    AdminPort {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The system refuses to tell of signals.
    #[error("cannot wait for SIGTERM: {0}")]
    Signals(std::io::Error),
}

/// A process that has started.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name in the topology.
    pub service: &'static str,
    /// Where it runs.
    pub environment: Environment,
    /// Cancelled when it must end: after the stop signal and the drain delay. Long streams and background tasks end by it.
    pub stop: CancellationToken,
    /// What it waits for before it is ready.
    pub readiness: Readiness,
    /// Where the admin port listens; of use when port 0 was asked for.
    pub admin_address: SocketAddr,
    started: Condition,
}

impl Process {
    /// Opens the admin port, with the routes of `admin` beside its own, and waits for SIGTERM or SIGINT from now on. Needs a
    /// running tokio runtime. The process is not ready before [`Process::started`].
    pub async fn start(
        service: &'static str,
        config: &ProcessConfig,
        admin: Router,
    ) -> Result<Self, ProcessError> {
        use_crypto_provider();
        let signals = Signals::new().map_err(ProcessError::Signals)?;
        let address = config.admin_listen;
        let failed = |cause| ProcessError::AdminPort { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let admin_address = listener.local_addr().map_err(failed)?;

        let readiness = Readiness::new();
        let started = readiness.condition("started");
        tokio::spawn(admin::serve(listener, readiness.clone(), admin));
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(
            signals,
            config.drain_delay,
            readiness.clone(),
            stop.clone(),
        ));
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            environment = ?config.environment,
            admin = %admin_address,
            "starting"
        );
        Ok(Self {
            service,
            environment: config.environment,
            stop,
            readiness,
            admin_address,
            started,
        })
    }

    /// Says that the process serves: from now on it is ready whenever every condition holds.
    pub fn started(&self) {
        self.started.set(true);
        tracing::info!("started");
    }
}

/// Every part that speaks TLS must use the same provider, and rustls takes the first one that it is given.
pub(crate) fn use_crypto_provider() {
    // Fails when one is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

async fn stop_on_signal(
    mut signals: Signals,
    delay: Duration,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let name = signals.next().await;
    readiness.stopping();
    tracing::info!(
        signal = name,
        drain_delay_seconds = delay.as_secs_f64(),
        "stopping"
    );
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        name = signals.next() => leave_at_once(name),
    }
    stop.cancel();
    leave_at_once(signals.next().await);
}

/// Whoever signals twice does not want to wait for the orderly end.
fn leave_at_once(signal: &'static str) {
    tracing::warn!(signal, "second signal: leaving at once");
    std::process::exit(1);
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
