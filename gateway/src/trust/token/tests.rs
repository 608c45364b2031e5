use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use grimoire_proto::auth::v1::{
    AccountVersion, FollowResponse, KeySet, Revocation, VerificationKey, revocation::Target,
};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

struct Signer {
    kid: &'static str,
    key: EncodingKey,
    point: Vec<u8>,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        Self {
            kid,
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            point: pair.public_key().as_ref().to_vec(),
        }
    }

    fn public(&self) -> VerificationKey {
        VerificationKey {
            kid: self.kid.into(),
            x: self.point[1..33].to_vec(),
            y: self.point[33..].to_vec(),
        }
    }

    fn header(&self) -> Header {
        Header {
            typ: Some("at+jwt".into()),
            kid: Some(self.kid.into()),
            ..Header::new(Algorithm::ES256)
        }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.key).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.test", "aud": "test", "sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "exp": now() + 300,
        "iat": now(), "jti": "j", "client_id": "c", "ver": 3, "auth_time": now(), "scope": "a b", "roles": ["admin"],
    })
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[member] = value;
    claims
}

fn without(member: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(member);
    claims
}

fn tokens(signer: &Signer) -> Tokens {
    let trust = Arc::new(Trust::new());
    let keys = KeySet {
        generation: 1,
        keys: vec![signer.public()],
    };
    let age = Some(prost_types::Duration::default());
    trust.learn(FollowResponse {
        keys: Some(keys),
        complete: true,
        age,
        ..FollowResponse::default()
    });
    let config = TokenConfig {
        issuer: "https://issuer.test".into(),
        audience: "test".into(),
        token_cache: 100,
    };
    Tokens::new(&config, trust)
}

fn refusal(tokens: &Tokens, token: &str) -> Option<Refusal> {
    tokens.judge_now(token.as_bytes()).err()
}

/// A token with this header text, signed over it.
fn with_header(signer: &Signer, header: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims()));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &signer.key, Algorithm::ES256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_good_token_tells_who_it_speaks_for() {
    let signer = Signer::new("k");
    let tokens = tokens(&signer);
    let claims = claims();
    let token = signer.sign(&claims);
    for _ in 0..2 {
        let identity = tokens.judge_now(token.as_bytes()).unwrap();
        assert_eq!(
            identity.subject_header.to_str().unwrap(),
            claims["sub"].as_str().unwrap()
        );
        assert_eq!(
            (
                identity.roles_header.to_str().unwrap(),
                identity.scopes_header.to_str().unwrap()
            ),
            ("admin", "a,b")
        );
    }
}

#[test]
fn a_token_is_good_until_its_end_and_no_longer_than_clocks_may_differ() {
    let signer = Signer::new("k");
    let tokens = tokens(&signer);
    assert_eq!(
        refusal(&tokens, &signer.sign(&with("exp", json!(now() - 2)))),
        None
    );
    assert_eq!(
        refusal(&tokens, &signer.sign(&with("exp", json!(now() - 7)))),
        Some(Refusal::Expired)
    );
}

#[test]
fn a_token_for_somebody_else_or_without_a_claim_is_refused() {
    let signer = Signer::new("k");
    let tokens = tokens(&signer);
    for claims in [
        with("iss", json!("https://other.test")),
        with("aud", json!("other")),
        with("sub", json!("root")),
        with("sid", json!("../x")),
        with("roles", json!(["a,admin"])),
    ] {
        assert_eq!(
            refusal(&tokens, &signer.sign(&claims)),
            Some(Refusal::Invalid),
            "{claims}"
        );
    }
    for member in [
        "iss",
        "aud",
        "sub",
        "sid",
        "exp",
        "iat",
        "jti",
        "client_id",
        "ver",
        "auth_time",
    ] {
        assert_eq!(
            refusal(&tokens, &signer.sign(&without(member))),
            Some(Refusal::Invalid),
            "{member}"
        );
    }
}

#[test]
fn a_header_that_wants_to_be_read_differently_is_refused() {
    let signer = Signer::new("k");
    let tokens = tokens(&signer);
    let good = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k"});
    assert_eq!(refusal(&tokens, &with_header(&signer, &good)), None);
    let also_good = json!({"alg": "ES256", "typ": "application/AT+JWT", "kid": "k"});
    assert_eq!(refusal(&tokens, &with_header(&signer, &also_good)), None);
    for (member, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("typ", json!("JWT")),
        ("typ", Value::Null),
        ("kid", Value::Null),
        ("crit", json!(["exp"])),
        ("crit", Value::Null),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("jku", json!("https://evil.test/jwks")),
        ("x5u", json!("https://evil.test/x")),
        ("x5c", json!(["AAAA"])),
        (
            "jwk",
            json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        ),
    ] {
        let mut header = good.clone();
        header[member] = value;
        assert_eq!(
            refusal(&tokens, &with_header(&signer, &header)),
            Some(Refusal::Invalid),
            "{header}"
        );
    }
}

#[test]
fn the_public_key_does_not_sign_as_a_shared_secret() {
    let signer = Signer::new("k");
    let tokens = tokens(&signer);
    let header = Header {
        typ: Some("at+jwt".into()),
        kid: Some("k".into()),
        ..Header::new(Algorithm::HS256)
    };
    let forged = encode(&header, &claims(), &EncodingKey::from_secret(&signer.point)).unwrap();
    assert_eq!(refusal(&tokens, &forged), Some(Refusal::Invalid));
}

#[test]
fn a_forged_signature_and_a_stranger_with_the_same_kid_are_refused() {
    let signer = Signer::new("k");
    let tokens = tokens(&signer);
    assert_eq!(
        refusal(&tokens, &Signer::new("k").sign(&claims())),
        Some(Refusal::Invalid)
    );
    let token = signer.sign(&claims());
    let (message, _) = token.rsplit_once('.').unwrap();
    for forged in [
        format!("{message}."),
        message.to_owned(),
        format!("{message}.AAAA"),
        format!("{token}.x"),
        String::new(),
    ] {
        assert_eq!(
            refusal(&tokens, &forged),
            Some(Refusal::Invalid),
            "{forged}"
        );
    }
    assert_eq!(
        refusal(&tokens, &"a".repeat(LONGEST + 1)),
        Some(Refusal::Invalid)
    );
}

#[tokio::test]
async fn a_token_with_a_key_that_nobody_knows_is_invalid_or_unknown_while_trust_is_stale() {
    let signer = Signer::new("k");
    let token = Signer::new("new").sign(&claims());
    assert_eq!(
        tokens(&signer).judge(token.as_bytes()).await.unwrap_err(),
        Refusal::Invalid
    );
    let config = TokenConfig {
        issuer: "https://issuer.test".into(),
        audience: "test".into(),
        token_cache: 100,
    };
    let unheard = Tokens::new(&config, Arc::new(Trust::new()));
    assert_eq!(
        unheard.judge(token.as_bytes()).await.unwrap_err(),
        Refusal::Unknown
    );
}

#[test]
fn a_remembered_token_is_refused_as_soon_as_it_is_revoked() {
    let signer = Signer::new("k");
    type Revoke = fn(&Value) -> Target;
    let cases: [(Revoke, Refusal); 3] = [
        (session_of, Refusal::Revoked),
        (account_of, Refusal::Outdated),
        (|_| Target::Kid("k".into()), Refusal::Invalid),
    ];
    for (target, refused) in cases {
        let tokens = tokens(&signer);
        let claims = claims();
        let token = signer.sign(&claims);
        assert_eq!(refusal(&tokens, &token), None);
        let expire_time = Some((SystemTime::now() + Duration::from_secs(60)).into());
        let revocation = Revocation {
            target: Some(target(&claims)),
            expire_time,
        };
        let revocations = vec![revocation];
        tokens.trust.learn(FollowResponse {
            revocations,
            ..FollowResponse::default()
        });
        assert_eq!(refusal(&tokens, &token), Some(refused));
    }
}

fn session_of(claims: &Value) -> Target {
    Target::Session(claims["sid"].as_str().unwrap().into())
}

fn account_of(claims: &Value) -> Target {
    let account = claims["sub"].as_str().unwrap().into();
    Target::Account(AccountVersion {
        account,
        min_version: 4,
    })
}

#[test]
fn a_remembered_token_is_refused_when_its_key_is_gone() {
    let (signer, next) = (Signer::new("k"), Signer::new("next"));
    let tokens = tokens(&signer);
    let token = signer.sign(&claims());
    assert_eq!(refusal(&tokens, &token), None);
    let keys = KeySet {
        generation: 2,
        keys: vec![next.public()],
    };
    tokens.trust.learn(FollowResponse {
        keys: Some(keys),
        ..FollowResponse::default()
    });
    assert_eq!(refusal(&tokens, &token), Some(Refusal::Unknown));
}
