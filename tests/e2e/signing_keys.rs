//! Signing keys take turns while people are signed in, and can be taken out of service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use grimoire_proto::auth::v1::admin_service_client::AdminServiceClient;
use grimoire_proto::auth::v1::{
    ListSigningKeysRequest, RevokeSigningKeyRequest, RotateSigningKeyRequest, SigningKeyState,
};
use serde_json::{Value, json};
use tests::rest::Client;
use tests::stack::{TestStack, eventually, shared};

use crate::grpc::{channel, refused, with_token};

/// The key that signs, as an administrator sees it.
async fn active(admin: &Client) -> String {
    let keys = admin.get("/v1/admin/signingKeys").await.ok();
    let keys = keys["signingKeys"].as_array().unwrap().iter();
    let mut active = keys.filter(|key| key["state"] == "SIGNING_KEY_STATE_ACTIVE");
    let active = active.next().expect("a key signs");
    active["kid"].as_str().unwrap().to_owned()
}

fn text<'a>(tokens: &'a Value, name: &str) -> &'a str {
    tokens[name].as_str().unwrap()
}

/// Whoever is signed in goes on with an access token of any key, and refreshes to one of the next. A key that is revoked is another
/// matter.
#[tokio::test]
async fn no_good_token_is_refused_while_keys_take_turns_and_every_one_of_a_revoked_key_is() {
    let stack = TestStack::start("rotation", |options| {
        let auth = BTreeMap::from([
            ("GRIMOIRE_SIGNING_KEY_LIFETIME".to_owned(), "5".to_owned()),
            ("GRIMOIRE_SIGNING_KEY_PUBLISHED".to_owned(), "0".to_owned()),
        ]);
        options.overrides.insert("auth".to_owned(), auth);
    });
    let admin = stack.admin().await;
    let person = stack.sign_up().await;
    let mut tokens = vec![person.tokens.clone()];
    let mut keys = BTreeSet::from([active(&admin.client).await]);
    let begun = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(100));
    while keys.len() < 3 {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "keys take no turns"
        );
        beat.tick().await;
        for tokens in &tokens {
            let client = person.client.with_token(text(tokens, "accessToken"));
            client.get("/v1/accounts/me").await.ok();
        }
        keys.insert(active(&admin.client).await);
        if keys.len() > tokens.len() {
            let last = tokens.last().map(|tokens| text(tokens, "refreshToken"));
            let refresh = json!({"refreshToken": last});
            tokens.push(
                person
                    .client
                    .post("/v1/sessions:refresh", refresh)
                    .await
                    .ok(),
            );
        }
    }

    eventually("the next key signs when it is asked for", || async {
        let asked = admin.client.post("/v1/admin/signingKeys:rotate", json!({}));
        (asked.await.status == 200).then_some(())
    })
    .await;
    let login = json!({"email": person.email, "password": person.password});
    let signed_in = person
        .client
        .post("/v1/sessions:login", login.clone())
        .await
        .ok();
    let client = person
        .client
        .with_token(text(&signed_in["tokens"], "accessToken"));
    client.get("/v1/accounts/me").await.ok();
    // Each that verifies, whichever it was signed with.
    let list = admin.client.get("/v1/admin/signingKeys").await.ok();
    let mut kids: Vec<&str> = Vec::new();
    for key in list["signingKeys"].as_array().unwrap() {
        kids.push(key["kid"].as_str().unwrap());
    }
    let mut admin = admin.client.clone();
    for kid in kids {
        let revoked = admin
            .post(&format!("/v1/admin/signingKeys/{kid}:revoke"), json!({}))
            .await;
        if revoked.status != 401 {
            continue;
        }
        // The administrator's own token was of a revoked key.
        admin = stack.admin().await.client;
        admin
            .post(&format!("/v1/admin/signingKeys/{kid}:revoke"), json!({}))
            .await;
    }
    eventually("the token is of no key any more", || async {
        let answer = client.get("/v1/accounts/me").await;
        (answer.body["reason"] == "TOKEN_INVALID").then_some(())
    })
    .await;
    let anew = person.client.post("/v1/sessions:login", login).await.ok();
    let client = person
        .client
        .with_token(text(&anew["tokens"], "accessToken"));
    eventually("a sign-in with a key that was not revoked", || async {
        (client.get("/v1/accounts/me").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_that_others_may_not_have_yet_does_not_sign() {
    let stack = shared().await;
    let admin = stack.admin().await;
    admin
        .client
        .post("/v1/admin/signingKeys:rotate", json!({}))
        .await
        .problem(409, "SIGNING_KEY_NOT_READY");
    stack
        .sign_up()
        .await
        .client
        .post("/v1/admin/signingKeys:rotate", json!({}))
        .await
        .problem(403, "ROLE_REQUIRED");

    let mut service = AdminServiceClient::new(channel(stack, "gateway").await);
    let token = text(&admin.tokens, "accessToken");
    let list = service.list_signing_keys(with_token(token, ListSigningKeysRequest {}));
    let list = list.await.unwrap().into_inner().signing_keys;
    // The first two were made at the same time, so neither is the older one.
    let mut states: Vec<SigningKeyState> = list.iter().map(|key| key.state()).collect();
    states.sort();
    assert_eq!(states, [SigningKeyState::Pending, SigningKeyState::Active]);
    let rotated = service.rotate_signing_key(with_token(token, RotateSigningKeyRequest {}));
    refused(&rotated.await.unwrap_err(), "SIGNING_KEY_NOT_READY");
    let unknown = RevokeSigningKeyRequest {
        kid: "unknown".to_owned(),
    };
    let revoked = service.revoke_signing_key(with_token(token, unknown)).await;
    refused(&revoked.unwrap_err(), "RESOURCE_NOT_FOUND");
}
