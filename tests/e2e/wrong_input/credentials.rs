//! Passwords and tokens of mails that do not open what they should.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tests::stack::{alone, shared};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_weak_password_comes_back_with_advice() {
    let stack = shared().await;
    let client = stack.client();
    let email = stack.address();
    client
        .post("/v1/accounts:register", json!({"email": email}))
        .await
        .ok();
    let mail = stack.smtp.mail_to(&email).await;
    for password in ["short", "password1", &"a".repeat(257)] {
        let answer = client
            .post(
                "/v1/accounts:completeRegistration",
                json!({"token": mail.token(), "password": password}),
            )
            .await;
        answer.problem(400, "WEAK_PASSWORD");
        assert_eq!(
            answer.body["errors"][0]["field"], "password",
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn a_mail_token_works_once_and_a_forged_one_never() {
    let stack = shared().await;
    let client = stack.client();
    let email = stack.address();
    client
        .post("/v1/accounts:register", json!({"email": email}))
        .await
        .ok();
    let mail = stack.smtp.mail_to(&email).await;
    let body = json!({"token": mail.token(), "password": "a long enough secret 17"});
    client
        .post("/v1/accounts:completeRegistration", body.clone())
        .await
        .ok();
    client
        .post("/v1/accounts:completeRegistration", body)
        .await
        .problem(400, "MAIL_TOKEN_USED");
    let forged = json!({"token": format!("{}x", mail.token().unwrap()), "password": "a long enough secret 17"});
    client
        .post("/v1/accounts:completeRegistration", forged)
        .await
        .problem(400, "MAIL_TOKEN_INVALID");
}

#[tokio::test]
async fn a_newer_mail_replaces_the_token_of_an_older_one() {
    let stack = shared().await;
    let (client, email) = (stack.client(), stack.address());
    let mut tokens = stack.smtp.tokens_of(&email);
    let mut mailed = Vec::new();
    for _ in 0..2 {
        let registration = json!({"email": email});
        client
            .post("/v1/accounts:register", registration)
            .await
            .ok();
        mailed.push(tokens.next().await);
    }
    let complete = async |token: &str| {
        let completion = json!({"token": token, "password": "a long enough secret 17"});
        client
            .post("/v1/accounts:completeRegistration", completion)
            .await
    };
    complete(&mailed[0])
        .await
        .problem(400, "MAIL_TOKEN_INVALID");
    complete(&mailed[1]).await.ok();
}

#[tokio::test]
async fn an_expired_mail_token_asks_for_a_new_mail() {
    let stack = shared().await;
    let (client, email) = (stack.client(), stack.address());
    client
        .post("/v1/accounts:register", json!({"email": email}))
        .await
        .ok();
    let mail = stack.smtp.mail_to(&email).await;
    let url = stack.stack.instance().database_url("auth").unwrap();
    let mut database = PgConnection::connect(&url).await.unwrap();
    let statement =
        "update registrations set expires_at = now() - interval '1 second' where email = $1";
    let changed = sqlx::query(statement)
        .bind(&email)
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let completion = json!({"token": mail.token(), "password": "a long enough secret 17"});
    client
        .post("/v1/accounts:completeRegistration", completion)
        .await
        .problem(400, "MAIL_TOKEN_EXPIRED");
}

#[tokio::test]
async fn wrong_credentials_read_the_same_whether_or_not_the_address_is_known() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let client = stack.client();
    let known = client
        .post(
            "/v1/sessions:login",
            json!({"email": person.email, "password": "not the password"}),
        )
        .await;
    let unknown = client
        .post(
            "/v1/sessions:login",
            json!({"email": stack.address(), "password": "not the password"}),
        )
        .await;
    known.problem(401, "INVALID_CREDENTIALS");
    unknown.problem(401, "INVALID_CREDENTIALS");
    assert_eq!(known.body["detail"], unknown.body["detail"]);
}

#[tokio::test]
async fn more_passwords_than_can_be_checked_are_refused_at_once() {
    let alone = alone().await;
    let system = &alone.system;
    let mut attempts = JoinSet::new();
    for _ in 0..40 {
        // As many as one address may try in a minute.
        let client = system.client();
        for _ in 0..10 {
            let (client, email) = (client.clone(), system.address());
            let body = json!({"email": email, "password": "whatever it is"});
            attempts.spawn(async move { client.post("/v1/sessions:login", body).await });
        }
    }
    let answers = attempts.join_all().await;
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert!(
        !refused.is_empty(),
        "400 sign-ins at once are more than 128 that may wait"
    );
    for answer in refused {
        answer.problem(429, "OVERLOADED");
        assert_eq!(answer.header("retry-after"), "1");
    }
    system.sign_up().await;
}
