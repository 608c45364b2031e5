//! The ES256 keys that sign access tokens. They live in the database with their private part sealed under a key that is not there.
//!
//! A key goes pending -> active -> retiring -> retired. There is always a pending key beside the active one, known to every gateway
//! before it signs, so that a switch refuses no good token.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sqlx::PgPool;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::keys::KeyRing;
use crate::store::signing_keys::{self, PublicKey, SealedKey};

/// Signers read the active key at least this often.
const READ_EVERY: Duration = Duration::from_secs(5);
/// How long after a switch another replica may still sign with the key before.
pub(crate) const LEARNT_WITHIN: Duration = READ_EVERY;
/// A key that was read so lately is still known when a transaction that begins now has ended.
const READ_AHEAD: Duration = Duration::from_millis(2_500);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningKeyError {
    #[error(
        "signing key {kid} was sealed under key-encryption key `{kek_id}`, which GRIMOIRE_KEY_ENCRYPTION_KEY does not hold; \
         set it to the key that this database was made with, as `{kek_id}:<base64>`"
    )]
    UnknownKek { kid: String, kek_id: String },
    #[error(
        "GRIMOIRE_KEY_ENCRYPTION_KEY is wrong: signing key {kid} cannot be opened with its key `{kek_id}`; \
         set it to the key that this database was made with"
    )]
    WrongKek { kid: String, kek_id: String },
    #[error("the database has no active signing key")]
    NoActiveKey,
    #[error("{0} failed")]
    Crypto(&'static str),
    #[error("an access token cannot be written: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Makes the first keys of an empty database, and checks that this process can open those that are there. The first key is active at
/// once, because no gateway trusts another; a pending one is made where it is missing.
pub(crate) async fn ensure(pool: &PgPool, keks: &KeyRing) -> Result<(), SigningKeyError> {
    let mut transaction = pool.begin().await?;
    signing_keys::lock(&mut *transaction).await?;

    let mut missing = Vec::new();
    for state in ["active", "pending"] {
        match signing_keys::sealed(&mut *transaction, state).await? {
            Some(key) => open(&key, keks).map(drop)?,
            None => missing.push(state),
        }
    }
    if !missing.is_empty() {
        let generation = signing_keys::next_generation(&mut *transaction).await?;
        for state in missing {
            let (sealed, public) = generate(keks)?;
            signing_keys::insert(&mut *transaction, &sealed, &public, state, generation).await?;
            tracing::info!(kid = sealed.kid, state, generation, "made a signing key");
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Signs with the active key, which it reads again when what it knows is older than five seconds, or the set of keys has changed.
pub(crate) struct Signer {
    pool: PgPool,
    keks: KeyRing,
    generation: watch::Receiver<i64>,
    active: RwLock<Option<Active>>,
    reading: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Active {
    key: Arc<Opened>,
    read_at: Instant,
    generation: i64,
}

struct Opened {
    header: Header,
    key: EncodingKey,
}

impl Signer {
    pub(crate) fn new(pool: PgPool, keks: KeyRing, generation: watch::Receiver<i64>) -> Self {
        Self {
            pool,
            keks,
            generation,
            active: RwLock::new(None),
            reading: tokio::sync::Mutex::new(()),
        }
    }

    /// Call it before a transaction whose commit leads to a token. The key is at hand afterwards, so a sign-in that has happened does
    /// not fail because the database is away a moment later.
    pub(crate) async fn ahead(&self) -> Result<(), SigningKeyError> {
        self.active(READ_AHEAD).await.map(drop)
    }

    /// A JWT of type `at+jwt` (RFC 9068) with these claims.
    pub(crate) async fn sign(
        &self,
        claims: &impl serde::Serialize,
    ) -> Result<String, SigningKeyError> {
        let active = self.active(READ_EVERY).await?;
        Ok(jsonwebtoken::encode(&active.header, claims, &active.key)?)
    }

    /// The active key, read within the last `age`.
    async fn active(&self, age: Duration) -> Result<Arc<Opened>, SigningKeyError> {
        match self.known(age) {
            Some(active) => Ok(active),
            None => self.read(age).await,
        }
    }

    fn known(&self, age: Duration) -> Option<Arc<Opened>> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        active
            .as_ref()
            .filter(|active| active.read_at.elapsed() < age)
            .filter(|active| active.generation == *self.generation.borrow())
            .map(|active| Arc::clone(&active.key))
    }

    /// One caller reads while the others wait for what it finds.
    async fn read(&self, age: Duration) -> Result<Arc<Opened>, SigningKeyError> {
        let _reading = self.reading.lock().await;
        if let Some(active) = self.known(age) {
            return Ok(active);
        }
        let (read_at, generation) = (Instant::now(), *self.generation.borrow());
        let sealed = signing_keys::sealed(&self.pool, "active")
            .await?
            .ok_or(SigningKeyError::NoActiveKey)?;
        let key = Arc::new(Opened {
            header: Header {
                typ: Some("at+jwt".to_owned()),
                kid: Some(sealed.kid.clone()),
                ..Header::new(Algorithm::ES256)
            },
            key: EncodingKey::from_ec_der(&open(&sealed, &self.keks)?),
        });
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Some(Active {
            key: Arc::clone(&key),
            read_at,
            generation,
        });
        Ok(key)
    }
}

pub(crate) fn generate(keks: &KeyRing) -> Result<(SealedKey, PublicKey), SigningKeyError> {
    let pkcs8 =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_| SigningKeyError::Crypto("making a signing key"))?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())
        .map_err(|_| SigningKeyError::Crypto("reading a signing key"))?;
    // Uncompressed point: 4, x, y.
    let (x, y) = match pair.public_key().as_ref() {
        [4, point @ ..] if point.len() == 64 => point.split_at(32),
        _ => return Err(SigningKeyError::Crypto("reading a public key")),
    };
    let public = PublicKey {
        kid: thumbprint(x, y),
        x: x.to_vec(),
        y: y.to_vec(),
    };
    Ok((seal(&public.kid, pkcs8.as_ref(), keks)?, public))
}

/// RFC 7638: the same key has the same identifier everywhere.
fn thumbprint(x: &[u8], y: &[u8]) -> String {
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jwk.as_bytes()))
}

fn seal(kid: &str, pkcs8: &[u8], keks: &KeyRing) -> Result<SealedKey, SigningKeyError> {
    let (kek_id, kek) = keks.current();
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| SigningKeyError::Crypto("drawing a nonce"))?;
    let mut private = Zeroizing::new(pkcs8.to_vec());
    let tag = aes(kek.bytes())?
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated(kek_id, kid)),
            &mut private,
        )
        .map_err(|_| SigningKeyError::Crypto("sealing a signing key"))?;
    Ok(SealedKey {
        kid: kid.to_owned(),
        kek_id: kek_id.to_owned(),
        sealed: [&nonce[..], private.as_slice(), tag.as_ref()].concat(),
    })
}

fn open(key: &SealedKey, keks: &KeyRing) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let (kid, kek_id) = (key.kid.clone(), key.kek_id.clone());
    let Some(kek) = keks.get(&key.kek_id) else {
        return Err(SigningKeyError::UnknownKek { kid, kek_id });
    };
    let Some((nonce, sealed)) = key.sealed.split_at_checked(NONCE_LEN) else {
        return Err(SigningKeyError::WrongKek { kid, kek_id });
    };
    let nonce = Nonce::try_assume_unique_for_key(nonce)
        .map_err(|_| SigningKeyError::Crypto("reading a nonce"))?;
    let mut private = Zeroizing::new(sealed.to_vec());
    let associated = Aad::from(associated(&key.kek_id, &key.kid));
    let length = match aes(kek.bytes())?.open_in_place(nonce, associated, &mut private) {
        Ok(opened) => opened.len(),
        Err(_) => return Err(SigningKeyError::WrongKek { kid, kek_id }),
    };
    private.truncate(length);
    Ok(private)
}

fn aes(kek: &[u8; 32]) -> Result<LessSafeKey, SigningKeyError> {
    UnboundKey::new(&AES_256_GCM, kek)
        .map(LessSafeKey::new)
        .map_err(|_| SigningKeyError::Crypto("reading a key-encryption key"))
}

/// A sealed key opens only as what it was sealed as. No part holds the separator.
fn associated(kek_id: &str, kid: &str) -> Vec<u8> {
    format!("grimoire access token signing key\0{kek_id}\0{kid}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keks(text: &str) -> KeyRing {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    const A: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const ANOTHER_A: &str = "a:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn a_sealed_key_opens_to_the_key_that_matches_its_public_part() {
        let (sealed, public) = generate(&keks(A)).unwrap();
        let pkcs8 = open(&sealed, &keks(A)).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
        assert_eq!(
            pair.public_key().as_ref(),
            [&[4][..], public.x.as_slice(), public.y.as_slice()].concat()
        );
    }

    #[test]
    fn the_wrong_key_encryption_key_is_named_in_the_error() {
        let (sealed, _) = generate(&keks(A)).unwrap();
        let wrong = open(&sealed, &keks(ANOTHER_A)).unwrap_err();
        assert!(
            wrong
                .to_string()
                .contains("GRIMOIRE_KEY_ENCRYPTION_KEY is wrong"),
            "{wrong}"
        );
        let unknown = open(
            &sealed,
            &keks("b:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        )
        .unwrap_err();
        assert!(
            unknown
                .to_string()
                .contains("GRIMOIRE_KEY_ENCRYPTION_KEY does not hold"),
            "{unknown}"
        );
    }

    #[test]
    fn a_sealed_key_does_not_open_under_another_identifier_or_when_changed() {
        let (mut sealed, _) = generate(&keks(A)).unwrap();
        let kid = std::mem::replace(&mut sealed.kid, "another".to_owned());
        assert!(open(&sealed, &keks(A)).is_err());
        sealed.kid = kid;
        assert!(open(&sealed, &keks(A)).is_ok());
        if let Some(last) = sealed.sealed.last_mut() {
            *last ^= 1;
        }
        assert!(open(&sealed, &keks(A)).is_err());
        sealed.sealed.truncate(5);
        assert!(open(&sealed, &keks(A)).is_err());
    }

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_7638() {
        // Computed with another implementation over the point of RFC 7517, appendix A.1.
        let x = URL_SAFE_NO_PAD
            .decode("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4")
            .unwrap();
        let y = URL_SAFE_NO_PAD
            .decode("4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM")
            .unwrap();
        assert_eq!(
            thumbprint(&x, &y),
            "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"
        );
    }
}
