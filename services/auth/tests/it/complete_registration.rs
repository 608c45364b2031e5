use grimoire_proto::auth::v1::CompleteRegistrationRequest;
use grimoire_proto::events::v1::{AccountRegistered, LoggedIn};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use prost::Message as _;

use crate::kit::{Auth, PASSWORD, reason, session_of};

#[tokio::test]
async fn the_token_of_the_mail_makes_the_account_and_signs_in() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("Ada@Example.com").await;
    assert_eq!(account.email, "Ada@example.com");
    assert_eq!(tokens.token_type, "Bearer");

    assert_eq!(
        auth.history(&account.id).await,
        [
            ("AccountRegistered".to_owned(), 1),
            ("LoggedIn".to_owned(), 2)
        ]
    );
    let events = auth.events().await;
    let registered = AccountRegistered::decode(&*events[1].payload).unwrap();
    let logged_in = LoggedIn::decode(&*events[2].payload).unwrap();
    assert_eq!(registered.account_id, account.id);
    assert!(!registered.registration_id.is_empty());
    assert_eq!(
        (logged_in.session_id, logged_in.new_device),
        (session_of(&tokens), false)
    );
    auth.login("ada@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn the_access_token_verifies_and_says_what_rfc_9068_asks() {
    let auth = Auth::start().await;
    let (account, tokens) = auth.signed_in("ada@example.com").await;

    let header = jsonwebtoken::decode_header(&tokens.access_token).unwrap();
    assert_eq!(
        (header.typ.as_deref(), header.alg),
        (Some("at+jwt"), Algorithm::ES256)
    );
    let (x, y): (Vec<u8>, Vec<u8>) =
        sqlx::query_as("select x, y from signing_keys where kid = $1 and state = 'active'")
            .bind(header.kid.unwrap())
            .fetch_one(&auth.pool)
            .await
            .unwrap();
    let encoded =
        |bytes| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
    let key = DecodingKey::from_ec_components(&encoded(x), &encoded(y)).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["grimoire"]);
    validation.set_issuer(&["http://localhost:5000"]);
    let claims = jsonwebtoken::decode::<serde_json::Value>(&tokens.access_token, &key, &validation)
        .unwrap()
        .claims;

    assert_eq!(claims["sub"], account.id);
    assert_eq!(claims["ver"], 1);
    assert_eq!(claims["amr"], serde_json::json!(["pwd"]));
    assert_eq!(claims["roles"], serde_json::json!([]));
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((300..=360).contains(&lifetime), "{lifetime}");
    for claim in ["jti", "client_id", "scope", "sid", "auth_time"] {
        assert!(!claims[claim].is_null(), "{claim}");
    }
    assert!(claims.get("nbf").is_none() && !claims.to_string().contains("example.com"));
}

#[tokio::test]
async fn of_two_completions_of_one_token_one_wins() {
    let auth = Auth::start().await;
    let token = auth.mail_token("ada@example.com").await;
    let (first, second) = tokio::join!(auth.complete(&token), auth.complete(&token));
    assert_ne!(first.is_ok(), second.is_ok());
    assert_eq!(
        reason(if first.is_ok() { second } else { first }),
        "MAIL_TOKEN_USED"
    );
    assert_eq!(auth.count("select count(*) from accounts").await, 1);
    assert_eq!(auth.count("select count(*) from sessions").await, 1);
}

#[tokio::test]
async fn a_used_an_expired_a_superseded_and_an_unknown_token_are_told_apart() {
    let auth = Auth::start().await;
    let used = auth.mail_token("ada@example.com").await;
    auth.complete(&used).await.unwrap();
    assert_eq!(reason(auth.complete(&used).await), "MAIL_TOKEN_USED");

    let superseded = auth.mail_token("eve@example.com").await;
    let expired = auth.mail_token("eve@example.com").await;
    assert_eq!(
        reason(auth.complete(&superseded).await),
        "MAIL_TOKEN_INVALID"
    );
    auth.execute("update registrations set expires_at = now() - interval '1 second'")
        .await;
    assert_eq!(reason(auth.complete(&expired).await), "MAIL_TOKEN_EXPIRED");
    for unknown in ["", "x", &"A".repeat(43), &"A".repeat(5_000)] {
        assert_eq!(reason(auth.complete(unknown).await), "MAIL_TOKEN_INVALID");
    }
}

#[tokio::test]
async fn a_weak_password_is_refused_with_advice_and_leaves_the_token_good() {
    let auth = Auth::start().await;
    let token = auth.mail_token("ada.lovelace@example.com").await;
    for (password, expected) in [
        ("password1234", "WEAK_PASSWORD"),
        ("lovelaceada", "WEAK_PASSWORD"),
        ("short", "WEAK_PASSWORD"),
        ("", "WEAK_PASSWORD"),
        (&"long ".repeat(60), "WEAK_PASSWORD"),
    ] {
        let request = CompleteRegistrationRequest {
            token: token.clone(),
            password: password.to_owned(),
        };
        assert_eq!(
            reason(auth.accounts.clone().complete_registration(request).await),
            expected,
            "{password}"
        );
    }
    auth.complete(&token).await.unwrap();
}

#[tokio::test]
async fn without_a_key_to_sign_with_nothing_is_done_and_the_token_stays_good() {
    let auth = Auth::start().await;
    let token = auth.mail_token("ada@example.com").await;
    auth.execute("update signing_keys set state = 'retired' where state = 'active'")
        .await;
    assert_eq!(reason(auth.complete(&token).await), "INTERNAL");
    assert_eq!(auth.count("select count(*) from accounts").await, 0);

    auth.execute("update signing_keys set state = 'active' where state = 'retired'")
        .await;
    auth.complete(&token).await.unwrap();
}

#[tokio::test]
async fn an_address_that_got_an_account_meanwhile_keeps_it() {
    let auth = Auth::start().await;
    let token = auth.mail_token("ada@example.com").await;
    auth::create_account(
        &auth.pool,
        &crate::kit::cheap_passwords(),
        "ADA@example.com",
        "",
        PASSWORD.to_owned(),
    )
    .await
    .unwrap();
    assert_eq!(reason(auth.complete(&token).await), "MAIL_TOKEN_INVALID");
    assert_eq!(auth.count("select count(*) from accounts").await, 1);
}
