use grimoire_proto::auth::v1::NotificationKind;
use grimoire_proto::auth::v1::RegisterRequest;
use tonic_types::StatusExt as _;

use crate::kit::{Auth, reason};

#[tokio::test]
async fn an_unknown_address_gets_a_mail_with_a_token() {
    let auth = Auth::start().await;
    auth.register("ada@example.com").await.unwrap();
    let event = auth.events().await.pop().unwrap();
    assert_eq!(
        (event.topic.as_str(), event.kind.as_str(), event.version),
        ("grimoire.auth.notice.v1", "RegistrationRequested", 1)
    );
    let mail = auth.notification(event.id).await.unwrap();
    assert_eq!(
        (mail.address.as_str(), mail.kind()),
        ("ada@example.com", NotificationKind::Registration)
    );
    assert_eq!(
        (mail.display_name.as_str(), mail.locale.as_str()),
        ("Ada", "en")
    );
    assert!(!mail.token.is_empty());
}

#[tokio::test]
async fn no_personal_datum_enters_an_event() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    for event in auth.events().await {
        let text =
            format!("{}{}", event.key, String::from_utf8_lossy(&event.payload)).to_lowercase();
        // As a word: an id may have these letters by chance.
        let mut words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        assert!(
            words.all(|word| word != "ada") && !text.contains("example"),
            "{}: {text}",
            event.kind
        );
    }
}

#[tokio::test]
async fn a_known_and_an_unknown_address_get_the_same_answer_and_cost_the_same_rows() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    auth.register("eve@example.com").await.unwrap();

    let mut written = Vec::new();
    for email in ["ADA@example.com", "eve@example.com"] {
        let before = auth.rows().await;
        auth.register(email).await.unwrap();
        written.push(auth.rows().await - before);
    }
    assert_eq!(written[0], written[1]);
    let kinds: Vec<String> = auth
        .events()
        .await
        .into_iter()
        .rev()
        .take(2)
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds, ["RegistrationRequested", "RegistrationRepeated"]);
}

#[tokio::test]
async fn the_owner_is_told_that_somebody_tried_and_gets_no_token() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    auth.register("ada@example.com").await.unwrap();
    let mail = auth
        .notification(auth.events().await.pop().unwrap().id)
        .await
        .unwrap();
    assert_eq!(
        (mail.kind(), mail.token.as_str()),
        (NotificationKind::RegistrationRepeated, "")
    );
}

#[tokio::test]
async fn the_sixth_mail_of_an_hour_is_not_sent_and_the_answer_is_the_same() {
    let auth = Auth::start().await;
    for _ in 0..6 {
        auth.register("ada@example.com").await.unwrap();
    }
    let versions: Vec<i64> = auth
        .events()
        .await
        .iter()
        .map(|event| event.version)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn registering_twice_at_once_gives_contiguous_versions_and_one_open_token() {
    let auth = Auth::start().await;
    let (first, second) = tokio::join!(
        auth.register("ada@example.com"),
        auth.register("ada@example.com")
    );
    first.unwrap();
    second.unwrap();
    let versions: Vec<i64> = auth
        .events()
        .await
        .iter()
        .map(|event| event.version)
        .collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(
        auth.count("select count(*) from registrations where superseded_at is null")
            .await,
        1
    );
}

#[tokio::test]
async fn wrong_fields_are_named() {
    let auth = Auth::start().await;
    for (email, display_name, locale, field) in [
        ("ada", "", "", "email"),
        ("a@example.com", "A\nB", "", "display_name"),
        ("a@example.com", "", "e n", "locale"),
    ] {
        let request = RegisterRequest {
            email: email.into(),
            display_name: display_name.into(),
            locale: locale.into(),
        };
        let refusal = auth.accounts.clone().register(request).await;
        let violations = refusal
            .as_ref()
            .unwrap_err()
            .get_details_bad_request()
            .unwrap()
            .field_violations;
        assert_eq!(violations[0].field, field);
        assert_eq!(reason(refusal), "INVALID_FIELD");
    }
}
