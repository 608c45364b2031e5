//! Refresh tokens: what they look like, and what a presented one leads to.
//!
//! `v1.kid.sid.counter.mac`, where mac = HMAC-SHA256 under key `kid` of session, counter and the session's own secret. The key is not in
//! the database and the secret is nowhere else, so neither alone makes a token; no token is stored, and the current one can
//! be made again.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::keys::KeyRing;

/// The last token but one may be presented for this long: parallel tabs, lost answers.
const GRACE: Duration = Duration::seconds(30);

/// The rotation state of a session, by the database's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Counter of the current token.
    pub(crate) counter: i64,
    /// Counter of the last token that was exchanged.
    pub(crate) prev: Option<i64>,
    /// When the current token was made.
    pub(crate) rotated_at: OffsetDateTime,
}

/// What a token with a valid mac leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Make `counter` current and remember `prev`.
    Rotate { counter: i64, prev: i64 },
    /// Answer the current token again and write nothing.
    Repeat,
    /// Two parties hold tokens of this session: end it.
    Reuse,
}

impl Rotation {
    /// Any number of lost answers is survived: the last exchanged token stays good until its successor is used. Once a thief has
    /// exchanged a token, the owner's next refresh makes what the thief got worthless, or convicts.
    pub(crate) fn decide(&self, presented: i64, now: OffsetDateTime) -> Decision {
        if presented == self.counter {
            Decision::Rotate {
                counter: self.counter + 1,
                prev: self.counter,
            }
        } else if Some(presented) != self.prev {
            Decision::Reuse
        } else if now - self.rotated_at <= GRACE {
            Decision::Repeat
        } else {
            // The answer was lost; the counter that was skipped is burned.
            Decision::Rotate {
                counter: self.counter + 1,
                prev: presented,
            }
        }
    }
}

/// A token that was read and not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    kid: String,
    pub(crate) session: Uuid,
    pub(crate) counter: i64,
    mac: Vec<u8>,
}

impl Presented {
    /// Reads a token; none when it is not shaped like one.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        const LONGEST: usize = 256;
        if token.len() > LONGEST {
            return None;
        }
        let mut parts = token.split('.');
        let (version, kid, session, counter, mac) = (
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
        );
        if version != "v1" || parts.next().is_some() {
            return None;
        }
        Some(Self {
            kid: kid.to_owned(),
            session: Uuid::try_parse(session).ok()?,
            counter: counter.parse::<i64>().ok().filter(|counter| *counter > 0)?,
            mac: URL_SAFE_NO_PAD.decode(mac).ok()?,
        })
    }

    /// Whether this process, or another with the same keys, made the token for a session with this secret.
    pub(crate) fn verify(&self, keys: &KeyRing, secret: &[u8]) -> bool {
        keys.get(&self.kid).is_some_and(|key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
            hmac::verify(
                &key,
                &message(self.session, self.counter, secret),
                &self.mac,
            )
            .is_ok()
        })
    }
}

/// The token with this counter, made with key `kid`, or with the current one where `kid` is not configured any more.
pub(crate) fn make(
    keys: &KeyRing,
    kid: &str,
    session: Uuid,
    counter: i64,
    secret: &[u8],
) -> String {
    let (kid, key) = keys
        .get(kid)
        .map_or_else(|| keys.current(), |key| (kid, key));
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
    let mac = hmac::sign(&key, &message(session, counter, secret));
    format!(
        "v1.{kid}.{}.{counter}.{}",
        session.simple(),
        URL_SAFE_NO_PAD.encode(mac)
    )
}

fn message(session: Uuid, counter: i64, secret: &[u8]) -> Vec<u8> {
    const PURPOSE: &[u8] = b"grimoire refresh token v1\0";
    [PURPOSE, session.as_bytes(), &counter.to_be_bytes(), secret].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: OffsetDateTime = time::macros::datetime!(2026-01-01 00:00 UTC);

    /// A session under the rules: presents a counter, gets the counter of a token, or none once the session has ended.
    struct Model {
        state: Rotation,
        now: OffsetDateTime,
        ended: bool,
    }

    impl Model {
        fn new() -> Self {
            Self {
                state: Rotation {
                    counter: 1,
                    prev: None,
                    rotated_at: START,
                },
                now: START,
                ended: false,
            }
        }

        fn present(&mut self, counter: i64) -> Option<i64> {
            if self.ended {
                return None;
            }
            match self.state.decide(counter, self.now) {
                Decision::Rotate { counter, prev } => {
                    self.state = Rotation {
                        counter,
                        prev: Some(prev),
                        rotated_at: self.now,
                    };
                }
                Decision::Repeat => {}
                Decision::Reuse => {
                    self.ended = true;
                    return None;
                }
            }
            Some(self.state.counter)
        }
    }

    proptest! {
        #[test]
        fn any_number_of_lost_answers_is_survived(steps in prop::collection::vec((0_i64..200, any::<bool>()), 1..60)) {
            let mut model = Model::new();
            let mut held = 1;
            for (pause, lost) in steps {
                model.now += Duration::seconds(pause);
                let answer = model.present(held);
                prop_assert!(answer.is_some(), "the owner was logged out");
                if let (Some(answer), false) = (answer, lost) {
                    held = answer;
                }
            }
        }

        #[test]
        fn tabs_that_share_a_token_all_get_the_same_new_one_within_the_grace(pauses in prop::collection::vec(0_i64..7, 1..5)) {
            let mut model = Model::new();
            let first = model.present(1);
            for pause in pauses {
                model.now += Duration::seconds(pause);
                prop_assert_eq!(model.present(1), first);
            }
        }

        /// `true`: the owner refreshes (and the answer may be lost); `false`: the thief does. Both use their newest token.
        #[test]
        fn what_a_thief_exchanged_is_worthless_after_the_owners_next_refresh(
            before in 0_usize..5,
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 31_i64..4_000), 1..60),
        ) {
            let mut model = Model::new();
            let mut owner = 1;
            for _ in 0..before {
                model.now += Duration::seconds(60);
                owner = model.present(owner).unwrap();
            }
            let mut thief = owner;
            let (mut exchanged, mut owner_came_back) = (false, false);
            for (owners_turn, lost, pause) in steps {
                model.now += Duration::seconds(pause);
                if owners_turn {
                    if let (Some(answer), false) = (model.present(owner), lost) {
                        owner = answer;
                    }
                    owner_came_back |= exchanged;
                } else if let Some(answer) = model.present(thief) {
                    prop_assert!(!owner_came_back, "the thief went on after the owner's refresh");
                    thief = answer;
                    exchanged = true;
                } else {
                    prop_assert!(model.ended);
                }
            }
        }
    }

    #[test]
    fn the_grace_ends_after_30_seconds() {
        let state = Rotation {
            counter: 5,
            prev: Some(4),
            rotated_at: START,
        };
        assert_eq!(
            state.decide(4, START + Duration::seconds(30)),
            Decision::Repeat
        );
        assert_eq!(
            state.decide(4, START + Duration::milliseconds(30_001)),
            Decision::Rotate {
                counter: 6,
                prev: 4
            }
        );
    }

    #[test]
    fn a_burned_older_or_future_counter_is_reuse() {
        let state = Rotation {
            counter: 6,
            prev: Some(4),
            rotated_at: START,
        };
        for counter in [1, 3, 5, 7] {
            assert_eq!(state.decide(counter, START), Decision::Reuse, "{counter}");
        }
    }

    fn keys(text: &str) -> KeyRing {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    const A: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const B_THEN_A: &str = "b:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn a_token_verifies_with_its_key_and_secret_alone() {
        let session = Uuid::now_v7();
        let token = make(&keys(A), "a", session, 7, b"secret");
        let presented = Presented::parse(&token).unwrap();
        assert_eq!((presented.session, presented.counter), (session, 7));
        assert!(presented.verify(&keys(A), b"secret"));
        assert!(
            presented.verify(&keys(B_THEN_A), b"secret"),
            "a retired key still verifies"
        );
        assert!(!presented.verify(&keys(A), b"another"));
        assert!(!presented.verify(
            &keys("a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="),
            b"secret"
        ));
        let raised = token.replace(".7.", ".8.");
        assert!(
            !Presented::parse(&raised)
                .unwrap()
                .verify(&keys(A), b"secret")
        );
    }

    #[test]
    fn a_token_of_a_key_that_is_gone_is_made_again_with_the_current_one() {
        let token = make(&keys(B_THEN_A), "gone", Uuid::now_v7(), 1, b"secret");
        assert!(token.starts_with("v1.b."), "{token}");
    }

    #[test]
    fn what_is_not_shaped_like_a_token_is_not_read() {
        for text in [
            "",
            "v1",
            "v1.a.b.c.d",
            "v2.a.00000000000000000000000000000000.1.AA",
            "v1.a.00000000000000000000000000000000.-1.AA",
            "v1.a.00000000000000000000000000000000.1.AA.AA",
            "v1.a.00000000000000000000000000000000.1.==",
        ] {
            assert!(Presented::parse(text).is_none(), "{text}");
        }
        assert!(Presented::parse(&"v".repeat(10_000)).is_none());
    }
}
