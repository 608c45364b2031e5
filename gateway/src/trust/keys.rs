//! The verification keys of one generation.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use grimoire_proto::auth::v1::KeySet;
use jsonwebtoken::DecodingKey;
use serde::Serialize;

/// How long others may keep the JSON Web Key Set. A new key signs nothing before it is older than this.
pub(crate) const JWKS_MAX_AGE: u32 = 300;

/// Keys by their kid, which is nothing but a map key.
#[derive(Default)]
pub(crate) struct KeyRing {
    generation: u64,
    keys: HashMap<String, Key>,
    jwks: Bytes,
}

/// One key.
pub(crate) struct Key {
    /// Shared with every token that it verified.
    pub(crate) kid: Arc<str>,
    pub(crate) decoding: DecodingKey,
}

/// RFC 7517.
#[derive(Serialize)]
struct Jwks {
    keys: Vec<Jwk>,
}

#[derive(Serialize)]
struct Jwk {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: String,
    x: String,
    y: String,
}

impl KeyRing {
    /// A key that is not a point of two times 32 bytes is left out, and logged: it can verify nothing.
    pub(crate) fn new(set: KeySet) -> Self {
        let mut keys = HashMap::new();
        let mut public = Vec::new();
        for key in set.keys {
            let (x, y) = (
                URL_SAFE_NO_PAD.encode(&key.x),
                URL_SAFE_NO_PAD.encode(&key.y),
            );
            let decoding = match DecodingKey::from_ec_components(&x, &y) {
                Ok(decoding) if key.x.len() == 32 && key.y.len() == 32 => decoding,
                _ => {
                    tracing::error!(kid = key.kid, "a verification key is not a P-256 point");
                    continue;
                }
            };
            keys.insert(
                key.kid.clone(),
                Key {
                    kid: key.kid.as_str().into(),
                    decoding,
                },
            );
            public.push(Jwk {
                kty: "EC",
                crv: "P-256",
                alg: "ES256",
                usage: "sig",
                kid: key.kid,
                x,
                y,
            });
        }
        let jwks = Bytes::from(serde_json::to_vec(&Jwks { keys: public }).unwrap_or_default());
        Self {
            generation: set.generation,
            keys,
            jwks,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn get(&self, kid: &str) -> Option<&Key> {
        self.keys.get(kid)
    }

    pub(crate) fn jwks(&self) -> Bytes {
        self.jwks.clone()
    }
}

#[cfg(test)]
mod tests {
    use grimoire_proto::auth::v1::VerificationKey;

    use super::*;

    #[test]
    fn the_public_set_has_every_good_key_and_no_bad_one() {
        let key = |kid: &str, length| VerificationKey {
            kid: kid.into(),
            x: vec![1; length],
            y: vec![2; length],
        };
        let ring = KeyRing::new(KeySet {
            generation: 4,
            keys: vec![key("good", 32), key("short", 31)],
        });
        assert_eq!((ring.generation(), ring.len()), (4, 1));
        let jwks: serde_json::Value = serde_json::from_slice(&ring.jwks()).unwrap();
        assert_eq!(jwks["keys"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&jwks["keys"][0]["kid"], &jwks["keys"][0]["alg"]),
            (&"good".into(), &"ES256".into())
        );
    }
}
