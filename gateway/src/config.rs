//! What an operator decides about the gateway; `gateway --help` is the reference.

mod limits;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use chassis::process::{Environment, ProcessConfig};
use http::{HeaderValue, Uri};

pub use limits::{ClassLimit, Classes, Per, Rate, StoreUrl};
pub use tls::TlsConfig;

/// The public entry point of Grimoire: REST and gRPC in, gRPC to the services.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "gateway", version)]
pub struct Config {
    #[command(flatten)]
    pub process: ProcessConfig,

    /// Address of the public listener, in plain text
    #[arg(
        long,
        env = "GRIMOIRE_LISTEN",
        default_value = "127.0.0.1:5000",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Threads that serve clients, beside the main one; each has its own connections to every service. 0: one for each core
    #[arg(
        long,
        env = "GRIMOIRE_THREADS",
        default_value_t = 0,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u16).range(..=1024)
    )]
    pub threads: u16,

    /// Where each service is: NAME=URL, separated by commas. A name that the contracts use and this list lacks is an error
    #[arg(long, env = "GRIMOIRE_UPSTREAMS", value_name = "NAME=URL,...")]
    pub upstreams: Upstreams,

    /// Folder of further contracts: sets of descriptors (*.binpb), and upstreams.yaml, which says where their upstreams are. Changes are
    /// taken while the gateway runs. Unset: those that are compiled in, and no others
    #[arg(long, env = "GRIMOIRE_CONTRACTS_DIR", value_name = "FOLDER")]
    pub contracts_dir: Option<PathBuf>,

    /// Whether to serve reflection, which tells what there is to call. Default: in development only
    #[arg(long, env = "GRIMOIRE_REFLECTION", value_name = "BOOLEAN", action = clap::ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub reflection: Option<bool>,

    /// Whether to serve /openapi.json and the page /docs, which tell what there is to call. Default: in development only
    #[arg(long, env = "GRIMOIRE_DOCS", value_name = "BOOLEAN", action = clap::ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub docs: Option<bool>,

    #[command(flatten)]
    pub tls: TlsConfig,

    #[command(flatten)]
    pub tokens: TokenConfig,

    #[command(flatten)]
    pub limits: LimitConfig,

    #[command(flatten)]
    pub bounds: BoundConfig,

    #[command(flatten)]
    pub connections: ConnectionConfig,

    #[command(flatten)]
    pub browsers: BrowserConfig,
}

/// Which access tokens are good.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Tokens")]
pub struct TokenConfig {
    /// Issuer (`iss`) of access tokens
    #[arg(
        long,
        env = "GRIMOIRE_ISSUER",
        default_value = "http://127.0.0.1:5000",
        value_name = "URL"
    )]
    pub issuer: String,

    /// Audience (`aud`) of access tokens
    #[arg(
        long,
        env = "GRIMOIRE_AUDIENCE",
        default_value = "grimoire",
        value_name = "NAME"
    )]
    pub audience: String,

    /// Verified tokens that are remembered
    #[arg(
        long,
        env = "GRIMOIRE_TOKEN_CACHE",
        default_value_t = 20_000,
        value_name = "NUMBER"
    )]
    pub token_cache: u64,
}

/// How much a client may ask.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitConfig {
    /// Requests of one client address (IPv6: of one /64), before its token is looked at
    #[arg(
        long,
        env = "GRIMOIRE_LIMIT_ADDRESS",
        default_value = "20/s burst 100",
        value_name = "RATE"
    )]
    pub limit_address: Rate,

    /// Requests of one account
    #[arg(
        long,
        env = "GRIMOIRE_LIMIT_ACCOUNT",
        default_value = "50/s burst 200",
        value_name = "RATE"
    )]
    pub limit_account: Rate,

    /// Requests of each class that the contracts name, of one client address or of one account: NAME=RATE per address or per account, separated by commas. A class that the contracts name and this list lacks is an error
    #[arg(
        long,
        env = "GRIMOIRE_LIMIT_CLASSES",
        default_value = "credentials=10/min per address,search=5/s burst 50 per account,admin=20/s burst 100 per account",
        value_name = "NAME=RATE per WHOM,..."
    )]
    pub limit_classes: Classes,

    /// Addresses and accounts whose budgets are kept apart; beyond it neighbouring addresses share one
    #[arg(
        long,
        env = "GRIMOIRE_LIMIT_KEYS",
        default_value_t = 100_000,
        value_name = "NUMBER"
    )]
    pub limit_keys: usize,

    /// Store of the budgets that several gateways share, which speaks the protocol of Redis: redis://USER:PASSWORD@HOST:6379, or rediss:// for TLS. Unset: each gateway counts for itself
    #[arg(long, env = "RATE_LIMIT_URL", value_name = "URL")]
    pub rate_limit_url: Option<StoreUrl>,

    /// Proxies in front of the gateway that append to X-Forwarded-For: the client is the entry that many places from the
    /// right. 0: the client is who connects
    #[arg(
        long,
        env = "GRIMOIRE_TRUSTED_PROXIES",
        default_value_t = 0,
        value_name = "NUMBER"
    )]
    pub trusted_proxies: usize,
}

/// How large and how slow a request may be. A method's own bounds, in its contract, go before these.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Bounds")]
pub struct BoundConfig {
    /// Largest request body, in bytes
    #[arg(
        long,
        env = "GRIMOIRE_MAX_BODY",
        default_value_t = 1_048_576,
        value_name = "BYTES"
    )]
    pub max_body: usize,

    /// Largest head of a request (its path and headers), in bytes
    #[arg(
        long,
        env = "GRIMOIRE_MAX_HEAD",
        default_value_t = 32_768,
        value_name = "BYTES"
    )]
    pub max_head: usize,

    /// Milliseconds until a call is given up
    #[arg(
        long,
        env = "GRIMOIRE_DEADLINE",
        default_value_t = 10_000,
        value_name = "MILLISECONDS"
    )]
    pub deadline: u32,
}

/// How many connections there may be, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionConfig {
    /// Seconds that an HTTP/1.1 connection may be idle
    #[arg(
        long,
        env = "GRIMOIRE_IDLE_TIMEOUT",
        default_value = "60",
        value_name = "SECONDS"
    )]
    pub idle_timeout: NonZeroU32,

    /// Connections of clients at once; fewer where the limit of open files is lower
    #[arg(
        long,
        env = "GRIMOIRE_MAX_CONNECTIONS",
        default_value = "10000",
        value_name = "NUMBER"
    )]
    pub max_connections: NonZeroUsize,

    /// Connections of one client address (IPv6: of one /64) at once. Of no effect behind trusted proxies, which connect for many
    #[arg(
        long,
        env = "GRIMOIRE_MAX_CONNECTIONS_PER_ADDRESS",
        default_value = "1000",
        value_name = "NUMBER"
    )]
    pub max_connections_per_address: NonZeroUsize,
}

/// Which pages may call.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Browsers")]
pub struct BrowserConfig {
    /// Origins of other sites whose pages may call from a browser: https://HOST, separated by commas; `*`, any, in development only.
    /// Unset: none
    #[arg(long, env = "GRIMOIRE_CORS_ORIGINS", value_name = "ORIGIN,...")]
    pub cors_origins: Option<Origins>,
}

impl ConnectionConfig {
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_timeout.get().into())
    }
}

impl Config {
    /// Whether there is reflection.
    pub(crate) fn reflects(&self) -> bool {
        let development = self.process.environment == Environment::Development;
        self.reflection.unwrap_or(development)
    }

    /// Whether the API is described over HTTP.
    pub(crate) fn documents(&self) -> bool {
        let development = self.process.environment == Environment::Development;
        self.docs.unwrap_or(development)
    }

    /// Worker threads, at least one.
    pub fn worker_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, Into::into),
            threads => threads.into(),
        }
    }
}

/// Addresses of the services by their names in the topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstreams(pub BTreeMap<String, Uri>);

impl FromStr for Upstreams {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut upstreams = BTreeMap::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let (name, url) = entry.split_once('=').ok_or_else(|| {
                format!("`{entry}` is not NAME=URL, such as auth=http://127.0.0.1:50051")
            })?;
            let uri = upstream(url)?;
            if upstreams.insert(name.trim().to_owned(), uri).is_some() {
                return Err(format!("`{name}` is there twice"));
            }
        }
        Ok(Self(upstreams))
    }
}

/// Where an upstream is.
pub(crate) fn upstream(url: &str) -> Result<Uri, String> {
    let uri: Uri = url
        .parse()
        .map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    if uri.scheme_str() != Some("http")
        || uri.host().is_none()
        || uri.port_u16().is_none()
        || !matches!(uri.path(), "" | "/")
    {
        return Err(format!(
            "`{url}` is not of the form http://HOST:PORT (encryption between processes is the mesh's)"
        ));
    }
    Ok(uri)
}

/// Origins whose pages may call from a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    /// As browsers write them.
    Listed(Vec<HeaderValue>),
}

impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        let entries = text.split(',').map(str::trim);
        entries
            .filter(|entry| !entry.is_empty())
            .map(origin)
            .collect::<Result<_, _>>()
            .map(Self::Listed)
    }
}

/// An origin as a browser writes it; one that it never sends would be allowed in vain.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let usual = match text.split_once("://") {
        Some(("http", _)) => Some(80),
        Some(("https", _)) => Some(443),
        _ => None,
    };
    let uri: Option<Uri> = text.parse().ok();
    let authority = uri.as_ref().and_then(Uri::authority).filter(|authority| {
        let whole = text.split_once("://").map(|(_, rest)| rest);
        let lower = !text.contains(|letter: char| letter.is_ascii_uppercase());
        whole == Some(authority.as_str()) && lower && !text.contains(['@', '*'])
    });
    match (usual, authority) {
        (Some(usual), Some(authority)) if authority.port_u16() != Some(usual) => {
            HeaderValue::try_from(text).map_err(|error| format!("`{text}`: {error}"))
        }
        _ => Err(format!(
            "`{text}` is not an origin such as https://app.example.com or http://localhost:5173: in lower case, without a path and without the port that goes without saying"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_names_and_plain_urls() {
        let upstreams: Upstreams = "auth=http://127.0.0.1:50051, user=http://user:50052"
            .parse()
            .unwrap();
        assert_eq!(upstreams.0["user"].host(), Some("user"));
        for wrong in [
            "auth",
            "auth=127.0.0.1:1",
            "auth=https://a:1",
            "auth=http://a",
            "auth=http://a:1/x",
            "a=http://a:1,a=http://b:1",
        ] {
            assert!(wrong.parse::<Upstreams>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        let origins: Origins = "https://app.example.com, http://localhost:5173"
            .parse()
            .unwrap();
        let Origins::Listed(origins) = origins else {
            panic!("two origins")
        };
        assert_eq!(
            origins,
            ["https://app.example.com", "http://localhost:5173"]
        );
        assert_eq!("".parse::<Origins>(), Ok(Origins::default()));
        assert_eq!("*".parse::<Origins>(), Ok(Origins::Any));
        for wrong in [
            "app.example.com",
            "null",
            "https://App.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://me@app.example.com",
            "ftp://app.example.com",
            "https://*.example.com",
            "*,https://app.example.com",
        ] {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }
}
