//! How limits are written.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _};

/// A rate with a burst: so many at once, refilled one by one over the period. Written `50/s burst 200` or `10/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At most this many at once.
    pub burst: NonZeroU32,
    /// One more after each of these.
    pub interval: Duration,
}

impl Rate {
    /// How long an empty budget takes to be whole again.
    pub fn window(&self) -> Duration {
        self.interval * self.burst.get()
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a rate such as `50/s burst 200`, `10/min` or `1000/h`; there is no rate without a limit"
            )
        };
        let (rate, burst) = match text.split_once("burst") {
            Some((rate, burst)) => (rate.trim(), Some(burst.trim())),
            None => (text.trim(), None),
        };
        let (count, unit) = rate.split_once('/').ok_or_else(wrong)?;
        let count: NonZeroU32 = count.trim().parse().map_err(|_| wrong())?;
        let period = match unit.trim() {
            "s" => Duration::from_secs(1),
            "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        let interval = period / count.get();
        if interval.is_zero() {
            return Err(wrong());
        }
        let burst = burst.map_or(Ok(count), |burst| burst.parse().map_err(|_| wrong()))?;
        Ok(Self { burst, interval })
    }
}

/// Whose requests a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// Those of a client address, before its token is looked at.
    Address,
    /// Those of an account, after it.
    Account,
}

/// How much of a class is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassLimit {
    pub rate: Rate,
    pub per: Per,
}

/// Classes by the names that contracts give them. Written `NAME=RATE per address` or `per account`, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(pub BTreeMap<String, ClassLimit>);

impl FromStr for Classes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut classes = BTreeMap::new();
        let entries = text.split(',').map(str::trim);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let wrong = || {
                format!(
                    "`{entry}` is not NAME=RATE per address, or NAME=RATE per account, such as `credentials=10/min per address`"
                )
            };
            let (name, limit) = entry.split_once('=').ok_or_else(wrong)?;
            let (rate, per) = limit.rsplit_once(" per ").ok_or_else(wrong)?;
            let per = match per.trim() {
                "address" => Per::Address,
                "account" => Per::Account,
                _ => return Err(wrong()),
            };
            let rate = rate.parse()?;
            let name = class_name(name.trim())?;
            if classes
                .insert(name.to_owned(), ClassLimit { rate, per })
                .is_some()
            {
                return Err(format!("`{name}` is there twice"));
            }
        }
        Ok(Self(classes))
    }
}

/// It stands in headers and in labels of metrics, beside the limits that every route has.
fn class_name(name: &str) -> Result<&str, String> {
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase());
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_')
    };
    match name {
        "address" | "account" => Err(format!("`{name}` is the name of a limit, not of a class")),
        _ if starts && name.chars().all(plain) => Ok(name),
        _ => Err(format!(
            "`{name}` is not the name of a class: a lower-case letter, and then such letters, digits, - and _"
        )),
    }
}

/// Where the store is that budgets are shared by. It may have a password in it, and is not printed.
#[derive(Clone)]
pub struct StoreUrl(ConnectionInfo);

impl StoreUrl {
    pub(crate) fn connection(&self) -> &ConnectionInfo {
        &self.0
    }

    pub(crate) fn password(&self) -> Option<&str> {
        self.0.redis_settings().password()
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "not of the form redis://USER:PASSWORD@HOST:PORT, or rediss:// for TLS".to_owned();
        let store = text.into_connection_info().map_err(|_| wrong())?;
        match store.addr() {
            ConnectionAddr::Tcp(..)
            | ConnectionAddr::TcpTls {
                insecure: false, ..
            } => {
                // Each request is a small write that nothing follows: the kernel must not wait for more.
                let settings = TcpSettings::default().set_nodelay(true);
                Ok(Self(store.set_tcp_settings(settings)))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_names_its_count_period_and_burst() {
        let rate: Rate = "50/s burst 200".parse().unwrap();
        assert_eq!(
            (rate.burst.get(), rate.interval),
            (200, Duration::from_millis(20))
        );
        assert_eq!(rate.window(), Duration::from_secs(4));
        let rate: Rate = "10/min".parse().unwrap();
        assert_eq!(
            (rate.burst.get(), rate.interval),
            (10, Duration::from_secs(6))
        );
    }

    #[test]
    fn a_limit_cannot_be_switched_off() {
        for wrong in ["", "0/s", "off", "5", "5/day", "1/s burst 0", "1/s burst"] {
            assert!(
                wrong
                    .parse::<Rate>()
                    .unwrap_err()
                    .contains("50/s burst 200"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_class_has_a_rate_and_says_whose_requests_it_counts() {
        let classes: Classes = "credentials=10/min per address, export=5/h burst 2 per account"
            .parse()
            .unwrap();
        assert_eq!(
            classes.0["credentials"],
            ClassLimit {
                rate: "10/min".parse().unwrap(),
                per: Per::Address
            }
        );
        assert_eq!(
            classes.0["export"],
            ClassLimit {
                rate: "5/h burst 2".parse().unwrap(),
                per: Per::Account
            }
        );
        assert_eq!("".parse::<Classes>().unwrap().0.len(), 0);
        for wrong in [
            "credentials",
            "credentials=10/min",
            "credentials=10/min per session",
            "credentials=off per address",
            "account=1/s per account",
            "Search=1/s per account",
            "two words=1/s per account",
            "\"=1/s per account",
            "a=1/s per account,a=2/s per account",
        ] {
            assert!(wrong.parse::<Classes>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_store_is_reached_by_tcp_and_its_certificate_is_looked_at() {
        let store: StoreUrl = "rediss://limits:secret@store.example:6380".parse().unwrap();
        assert_eq!(store.password(), Some("secret"));
        assert_eq!(format!("{store:?}"), "StoreUrl(..)");
        assert!(store.connection().tcp_settings().nodelay());
        let open: StoreUrl = "redis://127.0.0.1".parse().unwrap();
        assert_eq!(open.password(), None);
        for wrong in [
            "127.0.0.1:6379",
            "http://127.0.0.1:6379",
            "unix:///run/redis.sock",
            "rediss://store.example/#insecure",
        ] {
            assert!(wrong.parse::<StoreUrl>().is_err(), "{wrong}");
        }
    }
}
