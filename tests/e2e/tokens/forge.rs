//! Takes tokens apart and puts them together again: whole, changed, or signed with what was never meant to sign.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, Row as _};
use tests::stack::{Person, TestStack};

/// A token, taken apart.
#[derive(Clone)]
pub(super) struct Token {
    header: Value,
    claims: Value,
    signature: String,
}

impl Token {
    pub(super) fn of(person: &Person) -> Self {
        let token = person.tokens["accessToken"].as_str().unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let read =
            |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap());
        Self {
            header: read(parts[0]).unwrap(),
            claims: read(parts[1]).unwrap(),
            signature: parts[2].to_owned(),
        }
    }

    pub(super) fn kid(&self) -> &str {
        self.header["kid"].as_str().unwrap()
    }

    pub(super) fn header(&self, member: &str, value: impl Into<Value>) -> Self {
        let mut changed = self.clone();
        changed.header[member] = value.into();
        changed
    }

    pub(super) fn claim(&self, member: &str, value: impl Into<Value>) -> Self {
        let mut changed = self.clone();
        changed.claims[member] = value.into();
        changed
    }

    pub(super) fn without(&self, claim: &str) -> Self {
        let mut changed = self.clone();
        changed.claims.as_object_mut().unwrap().remove(claim);
        changed
    }

    /// With the signature that it came with.
    pub(super) fn as_signed_before(&self) -> String {
        format!("{}.{}", self.message(), self.signature)
    }

    pub(super) fn signed(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
        let message = self.message();
        let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn message(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&self.header), part(&self.claims))
    }
}

pub(super) fn by(key: &EcdsaKeyPair) -> impl Fn(&[u8]) -> Vec<u8> {
    move |message: &[u8]| {
        let signature = key.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }
}

pub(super) fn by_secret(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message: &[u8]| hmac::sign(&key, message).as_ref().to_vec()
}

/// A key that nobody trusts.
pub(super) fn strange_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

/// The key that signs this system's tokens, opened as its operator could.
pub(super) async fn signing_key(
    stack: &TestStack,
    algorithm: &'static EcdsaSigningAlgorithm,
) -> EcdsaKeyPair {
    let instance = stack.stack.instance();
    let url = instance.database_url("auth").unwrap();
    let mut database = PgConnection::connect(&url).await.unwrap();
    let row = sqlx::query("select kid, kek_id, sealed from signing_keys where state = 'active'");
    let row = row.fetch_one(&mut database).await.unwrap();
    let (kid, kek_id): (String, String) = (row.get("kid"), row.get("kek_id"));
    let sealed: Vec<u8> = row.get("sealed");

    let environment = instance.environment_of("auth").unwrap();
    // A key, or keys with names before them; a system that has just been made has one.
    let key = environment["GRIMOIRE_KEY_ENCRYPTION_KEY"]
        .rsplit(':')
        .next();
    let key = STANDARD.decode(key.unwrap()).unwrap();
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
    let (nonce, sealed) = sealed.split_at(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
    let associated = format!("grimoire access token signing key\0{kek_id}\0{kid}");
    let mut private = sealed.to_vec();
    let private = key
        .open_in_place(nonce, Aad::from(associated.as_bytes()), &mut private)
        .unwrap();
    EcdsaKeyPair::from_pkcs8(algorithm, private).unwrap()
}
