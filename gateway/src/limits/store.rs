//! The store through which gateways share budgets. It speaks Redis's protocol. Each request is one step of its own there, by a script, so no two
//! gateways let the same one through. While it is away, or too slow, nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ConnectionInfo, RedisError, Script};
use telemetry::prometheus::{IntCounter, IntGauge};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};

use super::client::Client;
use crate::config::{Rate, StoreUrl};
use crate::metrics;

/// How long a request waits for the store. The first that waits in vain is the last that waits until the store answers again.
const DEADLINE: Duration = Duration::from_millis(50);
/// How long a connection may take to be made.
const CONNECTING: Duration = Duration::from_secs(1);
/// How often the store is asked whether it is there, so that this is known without requests, too.
const PROBING: Duration = Duration::from_secs(1);
const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A connection that was held for so long was a good one: after it the delays begin anew.
const HELD: Duration = Duration::from_secs(10);
/// Of all keys.
const PREFIX: &str = "grimoire:limit";

/// What is left of a budget, or when one more is let through.
type Taken = Result<u32, Duration>;

/// The store, whether it is there or not.
pub(super) struct Store {
    at: ConnectionInfo,
    script: Script,
    /// Makes the names of clients, whose addresses and accounts are nobody's business there.
    pseudonyms: hmac::Key,
    /// None while the store is away. One connection carries everything: requests do not wait for each other's answers.
    connection: ArcSwapOption<MultiplexedConnection>,
    /// Told once for each connection that is given up.
    lost: Notify,
    away: IntGauge,
    fallbacks: IntCounter,
}

#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error("it does not answer within {} ms", DEADLINE.as_millis())]
    Late(#[from] tokio::time::error::Elapsed),
    #[error(transparent)]
    Refused(#[from] RedisError),
}

impl Store {
    pub(super) fn new(url: &StoreUrl) -> Self {
        let password = url.password().unwrap_or_default();
        let away = metrics::limit_store_away();
        // Until the first connection.
        away.set(1);
        Self {
            at: url.connection().clone(),
            script: Script::new(include_str!("take.lua")),
            pseudonyms: hmac::Key::new(hmac::HMAC_SHA256, password.as_bytes()),
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            away,
            fallbacks: metrics::limit_fallbacks(),
        }
    }

    /// Takes one from a client's budget of that name; none, without a wait, while the store is away.
    pub(super) async fn take(&self, limit: &str, rate: Rate, client: Client) -> Option<Taken> {
        let taken = match self.connection.load_full() {
            Some(connection) => {
                let taken = self.ask(&connection, &self.key(limit, client), rate).await;
                taken
                    .inspect_err(|error| self.give_up(&connection, error))
                    .ok()
            }
            None => None,
        };
        if taken.is_none() {
            self.fallbacks.inc();
        }
        taken
    }

    /// Connects, and again whenever the connection is lost. It does not end.
    pub(super) async fn stay_connected(&self) {
        let mut delay = FIRST_DELAY;
        let mut silent = false;
        loop {
            let begun = Instant::now();
            match self.connect().await {
                Ok(connection) => {
                    tracing::info!("limits are shared: their store answers");
                    let connection = Arc::new(connection);
                    // Before requests have it, who may give it up at once.
                    self.away.set(0);
                    self.connection.store(Some(connection.clone()));
                    self.until_lost(&connection).await;
                }
                Err(error) if !silent => tracing::warn!(
                    %error,
                    "limits are this gateway's alone: their store cannot be reached"
                ),
                Err(error) => tracing::debug!(%error, "the store of limits cannot be reached"),
            }
            // The loss of a connection has its own line.
            silent = true;
            if begun.elapsed() > HELD {
                delay = FIRST_DELAY;
            }
            // Gateways that lost it together do not come back together.
            tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..=1.0))).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// A connection over which budgets can be taken from: a replica, or a store without memory, answers and is of no use.
    async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            // It has one of ours.
            .set_response_timeout(None);
        let client = redis::Client::open(self.at.clone())?;
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        self.probe(&connection).await?;
        Ok(connection)
    }

    /// Asks each second, until an answer fails here or in a request.
    async fn until_lost(&self, connection: &Arc<MultiplexedConnection>) {
        let mut ticks = tokio::time::interval(PROBING);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.lost.notified() => return,
                _ = ticks.tick() => {
                    if let Err(error) = self.probe(connection).await {
                        self.give_up(connection, &error);
                    }
                }
            }
        }
    }

    /// Takes from a budget of nobody's.
    async fn probe(&self, connection: &MultiplexedConnection) -> Result<(), StoreError> {
        let rate = Rate {
            burst: std::num::NonZeroU32::MIN,
            interval: PROBING,
        };
        let key = format!("{PREFIX}:probe");
        self.ask(connection, &key, rate).await.map(drop)
    }

    async fn ask(
        &self,
        connection: &MultiplexedConnection,
        key: &str,
        rate: Rate,
    ) -> Result<Taken, StoreError> {
        let mut connection = connection.clone();
        let mut step = self.script.key(key);
        step.arg(rate.interval.as_nanos().div_ceil(1000))
            .arg(rate.burst.get());
        let answer = tokio::time::timeout(DEADLINE, step.invoke_async(&mut connection));
        let left: i64 = answer.await??;
        Ok(u32::try_from(left).map_err(|_| Duration::from_micros(left.unsigned_abs())))
    }

    /// Takes the connection away from requests, unless there is another one already. Who comes first says so.
    fn give_up(&self, connection: &Arc<MultiplexedConnection>, error: &StoreError) {
        let given = Some(connection.clone());
        let current = self.connection.compare_and_swap(&given, None);
        if current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, connection))
        {
            self.away.set(1);
            tracing::warn!(%error, "limits are this gateway's alone: their store is away");
            self.lost.notify_one();
        }
    }

    /// The same at every gateway with the same password, and forgotten when the budget is whole.
    fn key(&self, limit: &str, client: Client) -> String {
        let pseudonym = hmac::sign(&self.pseudonyms, &client.bytes());
        let half = &pseudonym.as_ref()[..16];
        format!("{PREFIX}:{limit}:{}", URL_SAFE_NO_PAD.encode(half))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn store(url: &str) -> Store {
        Store::new(&url.parse().unwrap())
    }

    #[test]
    fn a_key_tells_clients_and_limits_apart_and_nobody_who_they_are() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let here = store("redis://:secret@127.0.0.1:1");
        let key = here.key("account", Client::Account(one));
        assert!(key.starts_with("grimoire:limit:account:"));
        assert_eq!(key.len(), "grimoire:limit:account:".len() + 22);
        assert_ne!(key, here.key("search", Client::Account(one)));
        assert_ne!(key, here.key("account", Client::Account(other)));

        let there = store("redis://:secret@127.0.0.1:2");
        assert_eq!(key, there.key("account", Client::Account(one)));
        let strange = store("redis://:other@127.0.0.1:1");
        assert_ne!(key, strange.key("account", Client::Account(one)));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_store_that_was_never_there() {
        let store = store("redis://127.0.0.1:1");
        let rate = "1/s".parse().unwrap();
        let taken = store.take("account", rate, Client::Account(Uuid::nil()));
        assert_eq!(taken.await, None);
    }
}
