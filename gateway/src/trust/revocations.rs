//! Revocations: a set that is merged, in any order and any number of times.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use grimoire_proto::auth::v1::{Revocation, revocation::Target};
use uuid::Uuid;

/// Every live revocation.
#[derive(Default)]
pub(crate) struct Revocations(RwLock<Entries>);

/// Ids that are not UUIDs name nothing that a token can name, so they need no place.
#[derive(Default)]
struct Entries {
    sessions: HashMap<Uuid, SystemTime>,
    accounts: HashMap<Uuid, (u64, SystemTime)>,
    kids: HashMap<String, SystemTime>,
}

/// Why a token holds no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// Its session has ended.
    Session,
    /// Its account has changed since.
    Outdated,
    /// Its key is not trusted any more.
    Key,
}

impl Revocations {
    pub(crate) fn merge(&self, revocations: Vec<Revocation>) {
        if revocations.is_empty() {
            return;
        }
        let mut entries = self.write();
        for revocation in revocations {
            let until = revocation
                .expire_time
                .and_then(|time| SystemTime::try_from(time).ok());
            // Without an end it outlives every token.
            let until =
                until.unwrap_or_else(|| SystemTime::now() + std::time::Duration::from_secs(86_400));
            match revocation.target {
                Some(Target::Session(session)) => {
                    if let Ok(session) = session.parse() {
                        let end = entries.sessions.entry(session).or_insert(until);
                        *end = until.max(*end);
                    }
                }
                Some(Target::Account(account)) => {
                    if let Ok(id) = account.account.parse() {
                        let (least, end) = entries.accounts.entry(id).or_insert((0, until));
                        *least = account.min_version.max(*least);
                        *end = until.max(*end);
                    }
                }
                Some(Target::Kid(kid)) => {
                    let end = entries.kids.entry(kid).or_insert(until);
                    *end = until.max(*end);
                }
                None => {}
            }
        }
    }

    /// Whether a token of this session, account (at this version) and key holds no longer.
    pub(crate) fn check(
        &self,
        session: Uuid,
        account: Uuid,
        version: u64,
        kid: &str,
    ) -> Option<Revoked> {
        let entries = self.read();
        if entries.sessions.contains_key(&session) {
            Some(Revoked::Session)
        } else if entries.kids.contains_key(kid) {
            Some(Revoked::Key)
        } else if entries
            .accounts
            .get(&account)
            .is_some_and(|(least, _)| version < *least)
        {
            Some(Revoked::Outdated)
        } else {
            None
        }
    }

    /// Answers how many are left.
    pub(crate) fn forget_expired(&self, now: SystemTime) -> usize {
        let mut entries = self.write();
        entries.sessions.retain(|_, until| *until > now);
        entries.accounts.retain(|_, (_, until)| *until > now);
        entries.kids.retain(|_, until| *until > now);
        entries.sessions.len() + entries.accounts.len() + entries.kids.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use grimoire_proto::auth::v1::AccountVersion;

    use super::*;

    fn until(now: SystemTime, seconds: u64) -> Option<prost_types::Timestamp> {
        Some((now + Duration::from_secs(seconds)).into())
    }

    fn account(id: Uuid, min_version: u64) -> Option<Target> {
        Some(Target::Account(AccountVersion {
            account: id.to_string(),
            min_version,
        }))
    }

    #[test]
    fn an_entry_holds_whatever_the_order_and_number_it_comes_in() {
        let now = SystemTime::now();
        let (session, id) = (Uuid::now_v7(), Uuid::now_v7());
        let revocations = Revocations::default();
        for min_version in [2, 5, 3, 5] {
            revocations.merge(vec![Revocation {
                target: account(id, min_version),
                expire_time: until(now, 60),
            }]);
        }
        assert_eq!(
            revocations.check(session, id, 4, "k"),
            Some(Revoked::Outdated)
        );
        assert_eq!(revocations.check(session, id, 5, "k"), None);
        revocations.merge(vec![Revocation {
            target: Some(Target::Session(session.to_string())),
            expire_time: until(now, 60),
        }]);
        assert_eq!(
            revocations.check(session, id, 5, "k"),
            Some(Revoked::Session)
        );
        revocations.merge(vec![Revocation {
            target: Some(Target::Kid("k".into())),
            expire_time: until(now, 60),
        }]);
        assert_eq!(
            revocations.check(Uuid::now_v7(), Uuid::now_v7(), 1, "k"),
            Some(Revoked::Key)
        );
    }

    #[test]
    fn an_entry_is_forgotten_when_it_is_over_and_not_before() {
        let now = SystemTime::now();
        let (session, id) = (Uuid::now_v7(), Uuid::now_v7());
        let revocations = Revocations::default();
        revocations.merge(vec![Revocation {
            target: Some(Target::Session(session.to_string())),
            expire_time: until(now, 60),
        }]);
        revocations.merge(vec![Revocation {
            target: Some(Target::Session(session.to_string())),
            expire_time: until(now, 30),
        }]);
        assert_eq!(revocations.forget_expired(now + Duration::from_secs(59)), 1);
        assert_eq!(
            revocations.check(session, id, 1, "k"),
            Some(Revoked::Session)
        );
        assert_eq!(revocations.forget_expired(now + Duration::from_secs(61)), 0);
    }
}
