//! Passwords: which may be chosen, and hashing and checking them within the bounds of the pool.

use std::sync::Arc;
use std::time::{Duration, Instant};

use argon2::Params;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;
use zeroize::Zeroizing;
use zxcvbn::Score;

use crate::error::Violation;
use crate::hash_pool::{Bounds, Busy, HashPool, Memory};
use crate::password_hash::{Stored, hash, mib};
use crate::refusal_floor::Floor;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 256;
// Normalised text is never shorter than a third of what was sent.
const MAX_BYTES: usize = 4 * 3 * MAX_CHARS;

/// A password as it was typed, in Unicode's normal form C, so that keyboards that compose differently agree.
#[derive(Clone)]
pub(crate) struct Password(Arc<Zeroizing<String>>);

impl Password {
    /// A password to sign in with: no longer than any that could have been chosen.
    pub(crate) fn presented(text: String) -> Result<Self, Violation> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(Violation::new("password", "is required"));
        }
        let password = Self::normalised(&text);
        match password {
            Some(password) if password.chars() <= MAX_CHARS => Ok(password),
            _ => Err(Violation::new(
                "password",
                format!("has more than {MAX_CHARS} characters"),
            )),
        }
    }

    /// A password to be set: 8 to 256 characters. Whether it is easily guessed is judged in the pool.
    pub(crate) fn chosen(text: String) -> Result<Self, PasswordError> {
        let text = Zeroizing::new(text);
        match Self::normalised(&text) {
            Some(password) if password.chars() < MIN_CHARS => Err(PasswordError::Weak(format!(
                "It has fewer than {MIN_CHARS} characters."
            ))),
            Some(password) if password.chars() <= MAX_CHARS => Ok(password),
            _ => Err(PasswordError::Weak(format!(
                "It has more than {MAX_CHARS} characters."
            ))),
        }
    }

    /// One that nobody knows: 256 bits at random.
    pub(crate) fn unknown() -> Result<Self, Unspecified> {
        let mut bits = Zeroizing::new([0_u8; 32]);
        rand::fill(bits.as_mut_slice())?;
        let text = URL_SAFE_NO_PAD.encode(bits.as_slice());
        Ok(Self(Arc::new(Zeroizing::new(text))))
    }

    fn normalised(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        // Room for the longest expansion: growing would leave copies behind.
        let mut normal = Zeroizing::new(String::with_capacity(text.len() * 3));
        normal.extend(text.nfc());
        Some(Self(Arc::new(normal)))
    }

    fn chars(&self) -> usize {
        self.0.chars().count()
    }
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// What is wrong with it, and what would be better.
    #[error("the password is too weak: {0}")]
    Weak(String),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("a stored password hash cannot be read: {0}")]
    Stored(String),
    #[error("hashing failed: {0}")]
    Hash(String),
}

/// What came of a check.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) matches: bool,
    /// The stored hash was made with other parameters than today's.
    pub(crate) outdated: bool,
    /// How long a refusal must still wait: then all take as long, whatever hash was checked.
    pub(crate) spare: Duration,
}

/// Hashes and checks passwords within the pool's bounds.
pub(crate) struct Passwords {
    pool: HashPool,
    memory_mib: usize,
    params: Params,
    // Checked where an address has no account, so that the answer takes as long.
    dummy: String,
    floor: Floor,
}

impl Passwords {
    /// `memory_kib`, `passes` and `lanes` are Argon2's parameters for new hashes.
    pub(crate) fn start(
        bounds: Bounds,
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    ) -> Result<Self, StartError> {
        let params = Params::new(memory_kib, passes, lanes, Some(32))
            .map_err(|error| StartError::Params(error.to_string()))?;
        if mib(&params) > bounds.memory_mib {
            return Err(StartError::Budget);
        }
        let mut nobody = [0; 16];
        rand::fill(&mut nobody).map_err(|_| StartError::Random)?;
        let began = Instant::now();
        let dummy = hash(&params, &nobody, &mut Memory::default())
            .map_err(|error| StartError::Params(error.to_string()))?;
        let floor = Floor::from(began.elapsed());
        Ok(Self {
            pool: HashPool::start(bounds)?,
            memory_mib: bounds.memory_mib,
            params,
            dummy,
            floor,
        })
    }

    /// The PHC string of a new password. `related` is what an attacker would try first: address and name.
    pub(crate) async fn hash(
        &self,
        password: Password,
        related: Vec<String>,
    ) -> Result<String, PasswordError> {
        let params = self.params.clone();
        self.pool
            .run(mib(&params), move |memory| {
                judge(&password, &related)?;
                hash(&params, password.0.as_bytes(), memory)
            })
            .await?
    }

    /// As [`Passwords::hash`], for a password that is in use already.
    pub(crate) async fn rehash(&self, password: Password) -> Result<String, PasswordError> {
        let params = self.params.clone();
        self.pool
            .run(mib(&params), move |memory| {
                hash(&params, password.0.as_bytes(), memory)
            })
            .await?
    }

    /// Checks a password against the stored hash of an account. Without one that can be checked it hashes all the same, and does not
    /// match.
    pub(crate) async fn check(
        &self,
        password: Password,
        stored: Option<(Uuid, &str)>,
    ) -> Result<Check, PasswordError> {
        let stored = stored.and_then(|(account, stored)| self.read(account, stored));
        let known = stored.is_some();
        let stored = match stored {
            Some(stored) => stored,
            None => Stored::parse(&self.dummy)?,
        };
        let outdated = stored.differs_from(&self.params);
        let checked = self
            .pool
            .run(mib(&stored.params), move |memory| {
                let began = Instant::now();
                let matches = stored.matches(password.0.as_bytes(), memory)?;
                Ok::<_, PasswordError>((matches, began.elapsed()))
            })
            .await?;
        let (matches, took) = checked?;
        if !outdated {
            self.floor.observe(took);
        }
        Ok(Check {
            matches: matches && known,
            outdated,
            spare: self.floor.get().saturating_sub(took),
        })
    }

    /// A failure would tell that the account exists, so its owner is refused like anybody, and the operator is told.
    fn read(&self, account: Uuid, stored: &str) -> Option<Stored> {
        let read = Stored::parse(stored).and_then(|stored| {
            if mib(&stored.params) > self.memory_mib {
                return Err(PasswordError::Stored(
                    "it needs more memory than GRIMOIRE_PASSWORD_POOL_MIB".to_owned(),
                ));
            }
            Ok(stored)
        });
        read.inspect_err(
            |error| tracing::error!(%account, %error, "nobody can sign in to this account"),
        )
        .ok()
    }
}

/// Why passwords cannot be hashed in this process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(
        "GRIMOIRE_PASSWORD_MEMORY_KIB, GRIMOIRE_PASSWORD_PASSES and GRIMOIRE_PASSWORD_LANES do not fit together: {0}"
    )]
    Params(String),
    #[error("GRIMOIRE_PASSWORD_POOL_MIB is smaller than one hash of GRIMOIRE_PASSWORD_MEMORY_KIB")]
    Budget,
    #[error("the system has no random numbers")]
    Random,
    #[error("cannot start a thread for passwords: {0}")]
    Thread(#[from] std::io::Error),
}

fn judge(password: &Password, related: &[String]) -> Result<(), PasswordError> {
    let related: Vec<&str> = related.iter().map(String::as_str).collect();
    // The estimate reads the first 100 characters only.
    let strength = zxcvbn::zxcvbn(&password.0, &related);
    if strength.score() >= Score::Three {
        return Ok(());
    }
    let advice = strength.feedback().map(|feedback| {
        let warning = feedback.warning().map(|warning| warning.to_string());
        let suggestions = feedback
            .suggestions()
            .iter()
            .map(|suggestion| suggestion.to_string());
        warning
            .into_iter()
            .chain(suggestions)
            .collect::<Vec<_>>()
            .join(" ")
    });
    Err(PasswordError::Weak(match advice {
        Some(advice) if !advice.is_empty() => advice,
        _ => "Add another word or two.".to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(memory_kib: u32) -> Passwords {
        Passwords::start(
            Bounds {
                threads: 2,
                memory_mib: 64,
                queue: 16,
            },
            memory_kib,
            1,
            1,
        )
        .unwrap()
    }

    fn chosen(text: &str) -> Password {
        Password::chosen(text.to_owned()).unwrap()
    }

    async fn check(passwords: &Passwords, text: &str, stored: Option<&str>) -> Check {
        let stored = stored.map(|stored| (Uuid::nil(), stored));
        passwords.check(chosen(text), stored).await.unwrap()
    }

    #[tokio::test]
    async fn a_password_matches_its_hash_and_no_other_password_does() {
        let passwords = passwords(1024);
        let hash = passwords
            .hash(chosen("seven lazy herons paint"), vec![])
            .await
            .unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=1024,t=1,p=1$"), "{hash}");
        let right = check(&passwords, "seven lazy herons paint", Some(&hash)).await;
        assert!(right.matches && !right.outdated);
        let wrong = check(&passwords, "seven lazy herons point", Some(&hash)).await;
        assert!(!wrong.matches);
    }

    #[tokio::test]
    async fn a_password_without_a_stored_hash_is_hashed_and_never_matches() {
        let nobody = check(&passwords(1024), "seven lazy herons paint", None).await;
        assert!(!nobody.matches && !nobody.outdated);
    }

    #[tokio::test]
    async fn a_stored_hash_that_cannot_be_checked_never_matches_and_is_no_failure() {
        let unreadable = "$argon2id$v=19$m=1024,t=1,p=1$c2FsdHNhbHRzYWx0";
        let too_large = "$argon2id$v=19$m=1048576,t=1,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for stored in ["", "x", unreadable, too_large] {
            let refused = check(&passwords(1024), "seven lazy herons paint", Some(stored)).await;
            assert!(!refused.matches && !refused.outdated, "{stored}");
        }
    }

    #[tokio::test]
    async fn a_refusal_by_a_cheap_old_hash_waits_for_as_long_as_a_hash_of_today_takes() {
        let old = passwords(1024)
            .hash(chosen("seven lazy herons paint"), vec![])
            .await
            .unwrap();
        let today = passwords(32 * 1024);
        let floor = today.floor.get();
        let begun = Instant::now();
        let refused = check(&today, "seven lazy herons point", Some(&old)).await;
        assert!(!refused.matches);
        assert!(begun.elapsed() + refused.spare >= floor);
    }

    #[tokio::test]
    async fn a_hash_with_other_parameters_still_matches_and_is_called_outdated() {
        let old = passwords(1024)
            .hash(chosen("seven lazy herons paint"), vec![])
            .await
            .unwrap();
        let right = check(&passwords(2048), "seven lazy herons paint", Some(&old)).await;
        assert!(right.matches && right.outdated);
    }

    #[tokio::test]
    async fn hashes_agree_with_the_argon2_crate() {
        use argon2::{Argon2, PasswordVerifier as _};

        let hash = passwords(1024)
            .hash(chosen("seven lazy herons paint"), vec![])
            .await
            .unwrap();
        Argon2::default()
            .verify_password(b"seven lazy herons paint", hash.as_str())
            .unwrap();
    }

    #[tokio::test]
    async fn a_guessable_password_is_refused_with_advice() {
        for weak in ["password123", "aaaaaaaaaaaa", "anna.lindqvist"] {
            let refusal = passwords(1024)
                .hash(chosen(weak), vec!["anna.lindqvist".to_owned()])
                .await;
            assert!(
                matches!(refusal, Err(PasswordError::Weak(advice)) if !advice.is_empty()),
                "{weak}"
            );
        }
    }

    #[tokio::test]
    async fn composed_and_decomposed_letters_are_the_same_password() {
        let passwords = passwords(1024);
        let hash = passwords
            .hash(chosen("caf\u{e9} am m\u{fc}hlbach 9"), vec![])
            .await
            .unwrap();
        let decomposed = "cafe\u{301} am mu\u{308}hlbach 9";
        assert!(check(&passwords, decomposed, Some(&hash)).await.matches);
    }

    #[test]
    fn length_is_counted_in_characters_from_8_to_256() {
        assert!(Password::chosen("ä".repeat(7)).is_err());
        assert!(Password::chosen("ä".repeat(8)).is_ok());
        assert!(Password::chosen("😀".repeat(256)).is_ok());
        assert!(Password::chosen("😀".repeat(257)).is_err());
        assert!(Password::presented("x".repeat(1_000_000)).is_err());
        assert!(Password::presented(String::new()).is_err());
        assert!(Password::presented("short".to_owned()).is_ok());
    }
}
