//! A person's way through the whole system.

use serde_json::{Value, json};
use tests::stack::{eventually, shared};

fn types(list: &Value, of: &str) -> Vec<String> {
    list[of]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["type"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn registering_leads_by_mail_to_a_signed_in_account_whose_events_took_effect() {
    let stack = shared().await;
    let client = stack.client();
    let email = stack.address();
    let password = "a long enough secret 17";

    let answer = client
        .post(
            "/v1/accounts:register",
            json!({"email": email, "displayName": "Ada"}),
        )
        .await
        .ok();
    assert_eq!(answer, json!({}));
    let mail = stack.smtp.mail_to(&email).await;
    let token = mail.token().expect("a registration mail has a token");

    let made = client
        .post(
            "/v1/accounts:completeRegistration",
            json!({"token": token, "password": password}),
        )
        .await
        .ok();
    assert_eq!(made["account"]["email"], email);
    assert_eq!(made["tokens"]["tokenType"], "Bearer");

    let tokens = client
        .post(
            "/v1/sessions:login",
            json!({"email": email, "password": password}),
        )
        .await
        .ok()["tokens"]
        .clone();
    let person = client.with_token(tokens["accessToken"].as_str().unwrap());
    assert_eq!(
        person.get("/v1/accounts/me").await.ok()["id"],
        made["account"]["id"]
    );

    let profile = person.get("/v1/users/me").await.ok();
    assert_eq!(
        (&profile["id"], &profile["displayName"]),
        (&made["account"]["id"], &json!("Ada"))
    );
    let changed = person
        .patch(
            "/v1/users/me",
            json!({"bio": "Analyst", "timeZone": "Europe/London"}),
        )
        .await
        .ok();
    assert_eq!(
        (&changed["bio"], &changed["displayName"]),
        (&json!("Analyst"), &json!("Ada"))
    );
    assert_ne!(changed["etag"], profile["etag"]);

    let preferences = json!({"theme": "THEME_DARK", "labels": {"editor.font": "mono"}});
    let set = person
        .patch("/v1/users/me/preferences", preferences.clone())
        .await
        .ok();
    assert_eq!(
        (&set["theme"], &set["labels"]),
        (&preferences["theme"], &preferences["labels"])
    );

    let activities = eventually("the activities of the journey", || async {
        let activities = person.get("/v1/users/me/activities").await.ok();
        (types(&activities, "activities").len() == 5).then_some(activities)
    })
    .await;
    assert_eq!(
        {
            let mut types = types(&activities, "activities");
            types.sort();
            types
        },
        [
            "ACCOUNT_REGISTERED",
            "LOGGED_IN",
            "LOGGED_IN",
            "PREFERENCES_UPDATED",
            "PROFILE_UPDATED"
        ]
    );
    let updated = person
        .get("/v1/users/me/activities?type=PROFILE_UPDATED")
        .await
        .ok();
    assert_eq!(
        updated["activities"][0]["fields"],
        json!(["bio", "time_zone"])
    );

    let sessions = person.get("/v1/accounts/me/sessions").await.ok();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(sessions["sessions"][0]["current"], true);
    assert_eq!(sessions["sessions"][0]["userAgent"], "grimoire-tests");

    let refreshed = client
        .post(
            "/v1/sessions:refresh",
            json!({"refreshToken": tokens["refreshToken"]}),
        )
        .await
        .ok();
    let person = client.with_token(refreshed["accessToken"].as_str().unwrap());
    assert_eq!(
        person.post("/v1/sessions:logout", json!({})).await.ok(),
        json!({})
    );
    eventually(
        "the gateway to refuse the token of the ended session",
        || async {
            let answer = person.get("/v1/users/me").await;
            (answer.status == 401).then(|| answer.problem(401, "TOKEN_REVOKED").clone())
        },
    )
    .await;
    let again = client
        .post(
            "/v1/sessions:refresh",
            json!({"refreshToken": refreshed["refreshToken"]}),
        )
        .await;
    again.problem(401, "INVALID_REFRESH_TOKEN");

    let admin = stack.admin().await;
    let path = format!(
        "/v1/admin/auditRecords?accountId={}",
        made["account"]["id"].as_str().unwrap()
    );
    let audit = eventually("the audit records of the journey", || async {
        let audit = admin.client.get(&path).await.ok();
        (types(&audit, "auditRecords").len() == 6).then_some(audit)
    })
    .await;
    assert!(
        types(&audit, "auditRecords").contains(&"LOGGED_OUT".to_owned()),
        "{audit}"
    );
    assert!(
        audit["auditRecords"]
            .as_array()
            .unwrap()
            .iter()
            .all(|record| record["traceId"].as_str().unwrap().len() == 32),
        "{audit}"
    );
}

#[tokio::test]
async fn a_second_registration_of_an_address_reads_the_same_and_tells_its_owner() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let answer = stack
        .client()
        .post("/v1/accounts:register", json!({"email": person.email}))
        .await
        .ok();
    assert_eq!(answer, json!({}));
    let mail = eventually("a second mail", || async {
        stack
            .smtp
            .mails()
            .into_iter()
            .find(|mail| mail.recipient == person.email && mail.token().is_none())
    })
    .await;
    assert_eq!(mail.copies, 1);
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_session_of_both() {
    let stack = shared().await;
    let person = stack.sign_up().await;
    let client = stack.client();
    let refresh = async |token: &Value| {
        client
            .post("/v1/sessions:refresh", json!({"refreshToken": token}))
            .await
    };

    let first = person.tokens["refreshToken"].clone();
    let second = refresh(&first).await.ok()["refreshToken"].clone();
    let third = refresh(&second).await.ok()["refreshToken"].clone();
    assert_ne!(second, third);
    refresh(&first).await.problem(401, "INVALID_REFRESH_TOKEN");
    refresh(&third).await.problem(401, "INVALID_REFRESH_TOKEN");
    let mail = eventually("a warning by mail", || async {
        stack
            .smtp
            .mails()
            .into_iter()
            .find(|mail| mail.recipient == person.email && mail.token().is_none())
    })
    .await;
    assert_eq!(mail.copies, 1);
}
