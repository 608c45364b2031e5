//! Tokens, good and bad, at the door.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grimoire_proto::auth::v1::{AccountVersion, revocation::Target};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::stack::{Issuer, Stack, claims, claims_of, eventually};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn with(member: &str, value: Value) -> Value {
    let mut claims = claims(&[]);
    claims[member] = value;
    claims
}

/// A token with any header, signed by `sign` over what it says.
fn forged(header: &Value, sign: impl FnOnce(&str) -> String) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(&claims(&[])));
    let signature = sign(&message);
    format!("{message}.{signature}")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_bad_tokens_are_refused_with_a_challenge() {
    let stack = Stack::start().await;
    let missing = stack.get("/v1/users/me", None).await;
    missing.problem(401, "TOKEN_MISSING");
    assert_eq!(
        missing.header("www-authenticate"),
        "Bearer realm=\"grimoire\""
    );

    let issuer = &stack.issuer;
    let secret = EncodingKey::from_secret(&issuer.point);
    let hs256 = Header {
        typ: Some("at+jwt".into()),
        kid: Some("first".into()),
        ..Header::new(Algorithm::HS256)
    };
    let es256 = |message: &str| {
        jsonwebtoken::crypto::sign(message.as_bytes(), &issuer.key, Algorithm::ES256).unwrap()
    };
    let good = json!({"alg": "ES256", "typ": "at+jwt", "kid": "first"});
    let header = |member: &str, value: Value| {
        let mut header = good.clone();
        header[member] = value;
        header
    };
    for token in [
        "nonsense".to_owned(),
        "e30.e30.e30".to_owned(),
        "a".repeat(5000),
        forged(&header("alg", json!("none")), |_| String::new()),
        jsonwebtoken::encode(&hs256, &claims(&[]), &secret).unwrap(),
        forged(&header("typ", json!("JWT")), es256),
        forged(&header("crit", json!(["b64"])), es256),
        forged(&header("jwk", json!({"kty": "EC"})), es256),
        forged(&header("kid", json!("../../etc/passwd")), es256),
        Issuer::new("first").token(),
        issuer.sign(&with("iss", json!("https://evil.test"))),
        issuer.sign(&with("aud", json!("other"))),
        issuer.sign(&with("sub", json!("admin"))),
    ] {
        let answer = stack.get("/v1/users/me", Some(&token)).await;
        answer.problem(401, "TOKEN_INVALID");
        assert!(
            answer
                .header("www-authenticate")
                .contains("error=\"invalid_token\""),
            "{token}"
        );
    }
    assert_eq!(
        stack
            .get("/v1/users/me", Some(&forged(&good, es256)))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_says_so() {
    let stack = Stack::start().await;
    let token = stack.issuer.sign(&with("exp", json!(now() - 60)));
    stack
        .get("/v1/users/me", Some(&token))
        .await
        .problem(401, "TOKEN_EXPIRED");
    let body = json!({"refreshToken": "r"}).to_string();
    let answer = stack
        .send(
            reqwest::Method::POST,
            "/v1/sessions:logout",
            Some(&token),
            Some(&body),
        )
        .await;
    assert_eq!(
        answer.status, 200,
        "signing out works with an expired token: {}",
        answer.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_a_token_that_was_good_a_moment_ago() {
    let stack = Stack::start().await;
    type Revoke = fn(&Value) -> Target;
    let cases: [(Revoke, &str); 2] = [
        (session_of, "TOKEN_REVOKED"),
        (account_of, "TOKEN_OUTDATED"),
    ];
    for (revoke, reason) in cases {
        let token = stack.issuer.token();
        assert_eq!(stack.get("/v1/users/me", Some(&token)).await.status, 200);
        let revoked = Instant::now();
        stack.feed.revoke(revoke(&claims_of(&token)));
        let stack = &stack;
        let token = &token;
        let answer = eventually("the refusal of a revoked token", || async move {
            let answer = stack.get("/v1/users/me", Some(token)).await;
            (answer.status == 401).then_some(answer)
        })
        .await;
        answer.problem(401, reason);
        assert!(
            revoked.elapsed() < Duration::from_secs(2),
            "{:?}",
            revoked.elapsed()
        );
    }
}

fn session_of(claims: &Value) -> Target {
    Target::Session(claims["sid"].as_str().unwrap().to_owned())
}

fn account_of(claims: &Value) -> Target {
    let account = claims["sub"].as_str().unwrap().to_owned();
    Target::Account(AccountVersion {
        account,
        min_version: 4,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_acknowledged_and_then_taken() {
    let stack = Stack::start().await;
    let next = Issuer::new("next");
    stack.feed.add_key(&next, true);
    stack
        .feed
        .acknowledged
        .subscribe()
        .wait_for(|generation| *generation == 2)
        .await
        .unwrap();
    assert_eq!(
        stack.get("/v1/users/me", Some(&next.token())).await.status,
        200
    );
    assert_eq!(
        stack
            .get("/v1/users/me", Some(&stack.issuer.token()))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_not_heard_of_is_asked_for_once() {
    let stack = Stack::start().await;
    let next = Issuer::new("next");
    stack.feed.add_key(&next, false);
    let tokens: Vec<String> = (0..5).map(|_| next.token()).collect();
    let answers = futures::future::join_all(
        tokens
            .iter()
            .map(|token| stack.get("/v1/users/me", Some(token))),
    )
    .await;
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(*stack.feed.asked.borrow(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_needed_where_the_contract_says_so() {
    let stack = Stack::start().await;
    stack
        .get("/v1/admin/auditRecords", Some(&stack.issuer.token()))
        .await
        .problem(403, "ROLE_REQUIRED");
    let admin = stack.issuer.sign(&claims(&["admin"]));
    assert_eq!(
        stack
            .get("/v1/admin/auditRecords", Some(&admin))
            .await
            .status,
        200
    );
    assert_eq!(
        stack.seen.metadata("grimoire-roles").as_deref(),
        Some("admin")
    );
}
