//! Access tokens that somebody has made or changed: none of them opens anything, over REST, gRPC or gRPC-Web.

mod forge;

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use grimoire_proto::user::v1::GetProfileRequest;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use launcher::{Signal, Stack};
use serde_json::json;
use tests::grpc_web::Encoding;
use tests::rest::Client;
use tests::stack::{TestStack, alone, eventually, shared};
use tonic::transport::Channel;

use crate::grpc::{channel, refused, with_token};
use forge::{Token, by, by_secret, signing_key, strange_key};

const GET_PROFILE: &str = "/grimoire.user.v1.ProfileService/GetProfile";

/// Somebody at the door of the shared system.
struct Visitor {
    client: Client,
    /// For gRPC-Web, with a budget of its own.
    page: Client,
    channel: Channel,
}

impl Visitor {
    async fn new(stack: &TestStack) -> Self {
        Self {
            client: stack.client(),
            page: stack.client(),
            channel: channel(stack, "gateway").await,
        }
    }

    /// The account that the token opens, the same over REST and gRPC.
    async fn opens(&self, token: &str) -> String {
        let read = self.client.with_token(token).get("/v1/users/me").await.ok();
        let mut profiles = ProfileServiceClient::new(self.channel.clone());
        let answer = profiles.get_profile(with_token(token, me())).await.unwrap();
        let id = answer.into_inner().profile.unwrap().id;
        assert_eq!(read["id"], id);
        id
    }

    /// Panics unless the token is refused for this reason. `what` is shown then.
    async fn is_refused(&self, what: &str, token: &str, reason: &str) {
        println!("{what}: {token}");
        let answer = self.client.with_token(token).get("/v1/users/me").await;
        answer.problem(401, reason);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        let mut profiles = ProfileServiceClient::new(self.channel.clone());
        let answer = profiles.get_profile(with_token(token, me())).await;
        refused(&answer.unwrap_err(), reason);
        let page = self.page.with_token(token);
        let answer = page.grpc_web(Encoding::Text, GET_PROFILE, &me()).await;
        refused(&answer.unwrap_err(), reason);
    }
}

fn me() -> GetProfileRequest {
    GetProfileRequest {
        user: "me".to_owned(),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

#[tokio::test]
async fn a_token_without_a_signature_opens_nothing() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let token = Token::of(&person);
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let none = token.header("alg", algorithm);
        let what = format!("alg {algorithm:?}");
        let unsigned = none.signed(|_| Vec::new());
        visitor.is_refused(&what, &unsigned, "TOKEN_INVALID").await;
        let signed = none.as_signed_before();
        visitor.is_refused(&what, &signed, "TOKEN_INVALID").await;
    }
    let unsigned = token.signed(|_| Vec::new());
    visitor
        .is_refused("no signature", &unsigned, "TOKEN_INVALID")
        .await;
    // r and s of 0 satisfied a verifier that did not look at their range.
    let zeros = token.signed(|_| vec![0; 64]);
    visitor.is_refused("zeros", &zeros, "TOKEN_INVALID").await;
}

#[tokio::test]
async fn the_public_key_is_no_secret_to_sign_with() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let token = Token::of(&person);
    let published = visitor.client.get("/.well-known/jwks.json").await.ok();
    let keys = published["keys"].as_array().unwrap();
    let key = keys.iter().find(|key| key["kid"] == token.kid()).unwrap();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    // SubjectPublicKeyInfo of a point on P-256, RFC 5480.
    let prefix = STANDARD
        .decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA=")
        .unwrap();
    let spki = [prefix, point.clone()].concat();
    let lines: Vec<String> = STANDARD
        .encode(&spki)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let body = lines.join("\n");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let secrets = [
        point,
        coordinate("x"),
        spki,
        pem.into_bytes(),
        key.to_string().into_bytes(),
        published.to_string().into_bytes(),
    ];
    for secret in secrets {
        let forged = token.header("alg", "HS256").signed(by_secret(&secret));
        visitor.is_refused("HS256", &forged, "TOKEN_INVALID").await;
        let forged = token.signed(by_secret(&secret));
        visitor
            .is_refused("HMAC as ES256", &forged, "TOKEN_INVALID")
            .await;
    }
}

#[tokio::test]
async fn another_key_signs_for_nobody() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let token = Token::of(&person);
    let strange = strange_key();
    let published = visitor.client.get("/.well-known/jwks.json").await.ok();
    let keys = published["keys"].as_array().unwrap();
    let pending = keys.iter().find(|key| key["kid"] != token.kid());
    let pending = pending.expect("a pending key")["kid"].as_str().unwrap();

    let forged = token.signed(by(&strange));
    visitor
        .is_refused("the kid of the good key", &forged, "TOKEN_INVALID")
        .await;
    for kid in [
        "",
        "nobody",
        "../../../../dev/null",
        "' or '1'='1",
        "\0",
        pending,
    ] {
        let forged = token.header("kid", kid).signed(by(&strange));
        visitor
            .is_refused(
                kid.escape_debug().to_string().as_str(),
                &forged,
                "TOKEN_INVALID",
            )
            .await;
    }
    let other = token.header("kid", pending).as_signed_before();
    visitor
        .is_refused("the good key for another kid", &other, "TOKEN_INVALID")
        .await;

    let point = strange.public_key().as_ref();
    let (x, y) = (
        URL_SAFE_NO_PAD.encode(&point[1..33]),
        URL_SAFE_NO_PAD.encode(&point[33..]),
    );
    let own = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y});
    let forged = token.header("jwk", own).signed(by(&strange));
    visitor
        .is_refused("a key in the header", &forged, "TOKEN_INVALID")
        .await;
    for member in ["jku", "x5u"] {
        let forged = token
            .header(member, "http://127.0.0.1:1/keys.json")
            .signed(by(&strange));
        visitor.is_refused(member, &forged, "TOKEN_INVALID").await;
    }
}

#[tokio::test]
async fn a_changed_token_opens_nothing() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let other = stack.sign_up().await;
    let token = Token::of(&person);
    let good = person.tokens["accessToken"].as_str().unwrap();
    assert_eq!(visitor.opens(good).await, person.account);

    let changed = [
        ("another's account", token.claim("sub", other.account)),
        ("a role", token.claim("roles", json!(["admin"]))),
        ("a longer life", token.claim("exp", now() + 86_400)),
        ("a later version", token.claim("ver", 1_000)),
    ];
    for (what, changed) in changed {
        let changed = changed.as_signed_before();
        visitor.is_refused(what, &changed, "TOKEN_INVALID").await;
    }
    let (message, signature) = good.rsplit_once('.').unwrap();
    let refresh = person.tokens["refreshToken"].as_str().unwrap();
    let pieces = [
        ("a shorter signature", good[..good.len() - 4].to_owned()),
        ("a longer signature", format!("{good}AAAA")),
        ("padding", format!("{good}==")),
        ("a fourth part", format!("{good}.{signature}")),
        ("no third part", message.to_owned()),
        ("nothing but dots", "..".to_owned()),
        ("two tokens", format!("{good},{good}")),
        ("a refresh token", refresh.to_owned()),
    ];
    for (what, token) in pieces {
        visitor.is_refused(what, &token, "TOKEN_INVALID").await;
    }
}

#[tokio::test]
async fn a_well_signed_token_for_something_else_opens_nothing() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let key = signing_key(stack, &ECDSA_P256_SHA256_FIXED_SIGNING).await;
    let token = Token::of(&person);
    // What follows is refused for what it says and not for how it was signed.
    assert_eq!(visitor.opens(&token.signed(by(&key))).await, person.account);

    let changed = [
        ("another issuer", token.claim("iss", "https://evil.example")),
        ("another audience", token.claim("aud", "another")),
        ("no account", token.claim("sub", "admin")),
        ("an end that is none", token.claim("exp", "never")),
        (
            "a role that is two",
            token.claim("roles", json!(["a,admin"])),
        ),
        ("another type", token.header("typ", "JWT")),
        ("a critical extension", token.header("crit", json!(["exp"]))),
        ("compression", token.header("zip", "DEF")),
        (
            "more than 4096 bytes",
            token.claim("padding", "a".repeat(4096)),
        ),
    ];
    for (what, changed) in changed {
        let changed = changed.signed(by(&key));
        visitor.is_refused(what, &changed, "TOKEN_INVALID").await;
    }
    for claim in [
        "iss",
        "aud",
        "sub",
        "exp",
        "iat",
        "jti",
        "sid",
        "client_id",
        "ver",
        "auth_time",
    ] {
        let changed = token.without(claim).signed(by(&key));
        visitor.is_refused(claim, &changed, "TOKEN_INVALID").await;
    }
    let asn1 = signing_key(stack, &ECDSA_P256_SHA256_ASN1_SIGNING).await;
    let changed = token.signed(by(&asn1));
    visitor
        .is_refused("a signature in ASN.1", &changed, "TOKEN_INVALID")
        .await;
}

#[tokio::test]
async fn an_expired_token_says_so_and_still_signs_out_beside_a_refresh_token() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let key = signing_key(stack, &ECDSA_P256_SHA256_FIXED_SIGNING).await;
    let token = Token::of(&person).claim("exp", now() - 60);
    let expired = token.signed(by(&key));
    visitor
        .is_refused("expired", &expired, "TOKEN_EXPIRED")
        .await;

    let client = visitor.client.with_token(&expired);
    let answer = client.post("/v1/sessions:logout", json!({})).await;
    answer.problem(401, "TOKEN_MISSING");
    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    let answer = client.post("/v1/sessions:logout", refresh.clone()).await;
    assert_eq!(answer.ok(), json!({}));
    let answer = client.post("/v1/sessions:refresh", refresh).await;
    answer.problem(401, "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn a_token_from_before_a_new_role_is_outdated_until_it_is_refreshed() {
    let stack = shared().await;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    person.client.get("/v1/users/me").await.ok();
    stack.auth(&["grant-role", &person.email, "admin"]).await;
    eventually("the gateway to hear of the new role", || async {
        let answer = person.client.get("/v1/users/me").await;
        (answer.status == 401).then_some(())
    })
    .await;
    let outdated = person.tokens["accessToken"].as_str().unwrap();
    visitor
        .is_refused("outdated", outdated, "TOKEN_OUTDATED")
        .await;

    let refresh = json!({"refreshToken": person.tokens["refreshToken"]});
    let tokens = visitor
        .client
        .post("/v1/sessions:refresh", refresh)
        .await
        .ok();
    let admin = visitor
        .client
        .with_token(tokens["accessToken"].as_str().unwrap());
    admin.get("/v1/admin/auditRecords").await.ok();
}

#[tokio::test]
async fn a_bad_token_takes_nothing_from_a_public_method() {
    let stack = shared().await;
    let client = stack.client().with_token("e30.e30.e30");
    let registration = json!({"email": stack.address()});
    let answer = client.post("/v1/accounts:register", registration).await;
    assert_eq!(answer.ok(), json!({}));
}

/// auth as long as it neither runs nor ends.
pub(crate) struct Frozen<'a>(&'a Stack);

impl<'a> Frozen<'a> {
    pub(crate) fn auth(stack: &'a Stack) -> Self {
        stack.kill("auth", Signal::SIGSTOP).unwrap();
        Self(stack)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Tests that follow need it, also where this one has failed.
        let _ = self.0.kill("auth", Signal::SIGCONT);
    }
}

#[tokio::test]
async fn while_auth_is_silent_known_keys_go_on_and_an_unknown_one_is_neither_good_nor_bad() {
    let alone = alone().await;
    let stack = &alone.system;
    let (visitor, person) = (Visitor::new(stack).await, stack.sign_up().await);
    let good = person.tokens["accessToken"].as_str().unwrap();
    visitor.opens(good).await;
    let token = Token::of(&person).header("kid", "nobody");
    let strange = token.signed(by(&strange_key()));
    visitor
        .is_refused("strange", &strange, "TOKEN_INVALID")
        .await;

    let frozen = Frozen::auth(&stack.stack);
    let client = visitor.client.with_token(&strange);
    let answer = eventually("trust to become stale", || async {
        let answer = client.get("/v1/users/me").await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    answer.problem(503, "TRUST_STALE");
    assert!(answer.header("retry-after").parse::<u64>().is_ok());
    let mut profiles = ProfileServiceClient::new(visitor.channel.clone());
    let answer = profiles.get_profile(with_token(&strange, me())).await;
    refused(&answer.unwrap_err(), "TRUST_STALE");
    assert_eq!(visitor.opens(good).await, person.account);

    drop(frozen);
    eventually("trust to be fresh again", || async {
        let answer = client.get("/v1/users/me").await;
        (answer.status == 401).then(|| answer.problem(401, "TOKEN_INVALID").clone())
    })
    .await;
}
