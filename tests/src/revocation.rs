//! From the answer of a logout to the refusal of its token at two gateways, each of which follows a replica of auth of its own.

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use launcher::instance::Instance;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::net::TcpStream;

use crate::load::{connect, exchange, request};
use crate::program::{Environment, Replica, calling};

/// A second replica of auth, and a second gateway that follows it.
pub struct Others {
    pub auth: Replica,
    pub gateway: Replica,
}

impl Others {
    /// Starts both beside a system whose programs have these environments.
    pub async fn start(auth: Environment, gateway: Environment) -> Self {
        let auth = Replica::start("auth", auth).await;
        let gateway = calling(gateway, "auth", auth.address);
        Self {
            gateway: Replica::start("gateway", gateway).await,
            auth,
        }
    }
}

/// How long a token that is of no use any more was still taken.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// At the gateway whose replica of auth ended the session.
    pub near: Duration,
    /// At the other one.
    pub far: Duration,
    /// The longest time between two looks: that much later than in truth each of them may have been seen.
    pub step: Duration,
}

/// Ends sessions at one gateway and looks at two for how long their tokens are taken.
pub struct Watcher {
    gateways: [Watched; 2],
    /// Between two looks at a gateway.
    pause: Duration,
}

struct Watched {
    connection: TcpStream,
    answer: Vec<u8>,
}

/// No token is taken for longer, or the run is over.
const TOO_LONG: Duration = Duration::from_secs(10);

impl Watcher {
    /// `number` is that of the address that it connects from.
    pub async fn new(gateways: [SocketAddr; 2], number: u32, pause: Duration) -> Result<Self> {
        let [one, other] = gateways;
        Ok(Self {
            gateways: [
                Watched::new(one, number).await?,
                Watched::new(other, number).await?,
            ],
            pause,
        })
    }

    /// Ends the session of an access token at the gateway `near`, 0 or 1.
    pub async fn log_out(&mut self, token: &str, near: usize) -> Result<Refusal> {
        let authorization = format!("Authorization: Bearer {token}");
        let headers = [authorization.as_str()];
        // Gateways remember what they have verified: it is known at both, and good.
        let look = request("PATCH", "/v1/users/me", &headers, r#"{"unknown":0}"#);
        for gateway in &mut self.gateways {
            ensure!(gateway.takes(&look).await?, "the token is not good");
        }
        let log_out = request("POST", "/v1/sessions:logout", &headers, "{}");
        let status = self.gateways[near].ask(&log_out).await?;
        ensure!(status == 200, "a logout was answered {status}");

        let answered = Instant::now();
        let [one, other] = &mut self.gateways;
        let (one, other) = tokio::try_join!(
            one.refuses(&look, answered, self.pause),
            other.refuses(&look, answered, self.pause)
        )?;
        let (near, far) = if near == 0 {
            (one, other)
        } else {
            (other, one)
        };
        Ok(Refusal {
            near: near.0,
            far: far.0,
            step: near.1.max(far.1),
        })
    }
}

impl Watched {
    async fn new(gateway: SocketAddr, number: u32) -> Result<Self> {
        Ok(Self {
            connection: connect(gateway, number).await?,
            answer: Vec::with_capacity(4096),
        })
    }

    async fn ask(&mut self, request: &[u8]) -> Result<u16> {
        exchange(&mut self.connection, request, &mut self.answer)
            .await
            .map(|(status, _)| status)
            .map_err(|error| anyhow!(error))
    }

    /// Whether the token is taken. The request is one that the gateway refuses by itself, but looks at the token first: no service
    /// takes part, so a look takes as little time as can be.
    async fn takes(&mut self, look: &[u8]) -> Result<bool> {
        match self.ask(look).await? {
            400 => Ok(true),
            401 => Ok(false),
            _ => Err(anyhow!(
                "not an answer to a look: {}",
                String::from_utf8_lossy(&self.answer)
            )),
        }
    }

    /// Looks until the token is not taken: how long that was, and the longest time between two looks.
    async fn refuses(
        &mut self,
        look: &[u8],
        since: Instant,
        pause: Duration,
    ) -> Result<(Duration, Duration)> {
        let (mut before, mut step) = (since, Duration::ZERO);
        loop {
            let taken = self.takes(look).await?;
            let now = Instant::now();
            step = step.max(now - before);
            if !taken {
                return Ok((now - since, step));
            }
            ensure!(now - since < TOO_LONG, "a token is taken after its logout");
            before = now;
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Lets the announcements of revocations come to nothing, or to something again: auth may not call `pg_notify`. Its replicas then find by
/// themselves what another one has revoked.
pub async fn let_notify(instance: &Instance, allowed: bool) -> Result<()> {
    let of_auth = PgConnectOptions::from_str(&instance.superuser_url()?)?.database("auth");
    let mut superuser = of_auth.connect().await?;
    let statement = match allowed {
        true => "grant execute on function pg_notify(text, text) to public",
        false => "revoke execute on function pg_notify(text, text) from public",
    };
    sqlx::query(statement).execute(&mut superuser).await?;

    let owner = PgConnectOptions::from_str(&instance.database_url("auth")?)?;
    let mut owner: PgConnection = owner.connect().await?;
    let may: bool =
        sqlx::query_scalar("select has_function_privilege('pg_notify(text, text)', 'execute')")
            .fetch_one(&mut owner)
            .await
            .context("cannot ask whether auth may notify")?;
    ensure!(may == allowed, "auth may notify: {may}");
    Ok(())
}
