//! Revocations: a set that is merged, in any order and any number of times. Every request looks into it, so nobody holds it up for
//! long: it is cut into shares, each with its own lock, and what is over is forgotten share by share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use grimoire_proto::auth::v1::{Revocation, revocation::Target};
use uuid::Uuid;

/// A million entries make shares of 16,000, which take a tenth of a millisecond to go through.
const SHARES: usize = 64;
/// What has no end outlives every token.
const ENDLESS: Duration = Duration::from_secs(86_400);

/// Every live revocation.
pub(crate) struct Revocations {
    shares: [RwLock<Share>; SHARES],
    /// There are few, and they change rarely.
    kids: ArcSwap<HashMap<String, SystemTime>>,
    /// Whose turn it is to forget.
    turn: AtomicUsize,
}

/// The entries of some ids. What is not a UUID names nothing that a token can name, so it needs no place.
#[derive(Default)]
struct Share {
    sessions: HashMap<Uuid, SystemTime>,
    accounts: HashMap<Uuid, (u64, SystemTime)>,
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

impl Default for Revocations {
    fn default() -> Self {
        Self {
            shares: std::array::from_fn(|_| RwLock::default()),
            kids: ArcSwap::default(),
            turn: AtomicUsize::new(0),
        }
    }
}

impl Revocations {
    pub(crate) fn merge(&self, revocations: Vec<Revocation>) {
        for revocation in revocations {
            let until = revocation
                .expire_time
                .and_then(|time| SystemTime::try_from(time).ok())
                .unwrap_or_else(|| SystemTime::now() + ENDLESS);
            match revocation.target {
                Some(Target::Session(session)) => {
                    if let Ok(session) = session.parse() {
                        let mut share = self.write(session);
                        let end = share.sessions.entry(session).or_insert(until);
                        *end = until.max(*end);
                    }
                }
                Some(Target::Account(account)) => {
                    if let Ok(id) = account.account.parse() {
                        let mut share = self.write(id);
                        let (least, end) = share.accounts.entry(id).or_insert((0, until));
                        *least = account.min_version.max(*least);
                        *end = until.max(*end);
                    }
                }
                Some(Target::Kid(kid)) => {
                    self.kids.rcu(|kids| {
                        let mut kids = HashMap::clone(kids);
                        let end = kids.entry(kid.clone()).or_insert(until);
                        *end = until.max(*end);
                        kids
                    });
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
        if self.read(session).sessions.contains_key(&session) {
            return Some(Revoked::Session);
        }
        if self.kids.load().contains_key(kid) {
            return Some(Revoked::Key);
        }
        self.read(account)
            .accounts
            .get(&account)
            .is_some_and(|(least, _)| version < *least)
            .then_some(Revoked::Outdated)
    }

    /// Forgets what is over in the share whose turn it is; answers how many entries are left altogether. Until its turn comes an entry
    /// does no harm: the tokens that it revokes are over before it is.
    pub(crate) fn forget_expired(&self, now: SystemTime) -> usize {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % SHARES;
        {
            let mut share = write(&self.shares[turn]);
            share.sessions.retain(|_, until| *until > now);
            share.accounts.retain(|_, (_, until)| *until > now);
        }
        if self.kids.load().values().any(|until| *until <= now) {
            self.kids.rcu(|kids| {
                let mut kids = HashMap::clone(kids);
                kids.retain(|_, until| *until > now);
                kids
            });
        }
        let in_shares = self.shares.iter().map(|share| {
            let share = read(share);
            share.sessions.len() + share.accounts.len()
        });
        in_shares.sum::<usize>() + self.kids.load().len()
    }

    fn read(&self, id: Uuid) -> RwLockReadGuard<'_, Share> {
        read(&self.shares[share_of(id)])
    }

    fn write(&self, id: Uuid) -> RwLockWriteGuard<'_, Share> {
        write(&self.shares[share_of(id)])
    }
}

/// The last byte of a UUIDv7 is random.
fn share_of(id: Uuid) -> usize {
    usize::from(id.as_bytes()[15]) % SHARES
}

fn read(share: &RwLock<Share>) -> RwLockReadGuard<'_, Share> {
    share.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(share: &RwLock<Share>) -> RwLockWriteGuard<'_, Share> {
    share.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use grimoire_proto::auth::v1::AccountVersion;

    use super::*;

    fn until(now: SystemTime, seconds: u64) -> Option<prost_types::Timestamp> {
        Some((now + Duration::from_secs(seconds)).into())
    }

    fn session(id: Uuid, expire_time: Option<prost_types::Timestamp>) -> Revocation {
        Revocation {
            target: Some(Target::Session(id.to_string())),
            expire_time,
        }
    }

    /// Each share has its turn.
    fn forget_everywhere(revocations: &Revocations, now: SystemTime) -> usize {
        (0..SHARES).fold(0, |_, _| revocations.forget_expired(now))
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
        assert_eq!(
            forget_everywhere(&revocations, now + Duration::from_secs(59)),
            1
        );
        assert_eq!(
            revocations.check(session, id, 1, "k"),
            Some(Revoked::Session)
        );
        assert_eq!(
            forget_everywhere(&revocations, now + Duration::from_secs(61)),
            0
        );
    }

    #[test]
    fn forgetting_holds_up_a_share_of_the_readers_at_a_time() {
        let now = SystemTime::now();
        let revocations = Revocations::default();
        let many = 100 * SHARES;
        let over = (0..many).map(|_| session(Uuid::now_v7(), until(now, 1)));
        revocations.merge(over.collect());
        let later = now + Duration::from_secs(2);
        let mut left = many;
        for _ in 0..SHARES {
            let fewer = revocations.forget_expired(later);
            assert!(left - fewer < many / 10, "{left} {fewer}");
            left = fewer;
        }
        assert_eq!(left, 0);
    }

    #[test]
    fn a_reader_waits_for_nothing_but_the_share_of_its_ids() {
        let revocations = Revocations::default();
        let (session, account) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let others: Vec<_> = (3..=SHARES as u128)
            .map(|id| revocations.write(Uuid::from_u128(id)))
            .collect();
        assert_eq!(others.len(), SHARES - 2);
        assert_eq!(revocations.check(session, account, 1, "k"), None);
    }

    #[test]
    fn a_revoked_key_is_forgotten_when_it_is_over() {
        let now = SystemTime::now();
        let revocations = Revocations::default();
        revocations.merge(vec![Revocation {
            target: Some(Target::Kid("k".into())),
            expire_time: until(now, 60),
        }]);
        let check = || revocations.check(Uuid::nil(), Uuid::nil(), 1, "k");
        assert_eq!(revocations.forget_expired(now), 1);
        assert_eq!(check(), Some(Revoked::Key));
        assert_eq!(revocations.forget_expired(now + Duration::from_secs(61)), 0);
        assert_eq!(check(), None);
    }
}
