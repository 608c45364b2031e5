use prost_types::Timestamp;

use super::phrases::with_token;
use super::*;

fn notification(kind: NotificationKind) -> GetNotificationResponse {
    GetNotificationResponse {
        address: "zoe@example.com".into(),
        kind: kind.into(),
        display_name: "Zoë".into(),
        token: "tok-en_1".into(),
        token_expire_time: Some(Timestamp {
            seconds: 1_770_109_500,
            nanos: 0,
        }),
        client_address: "192.0.2.7".into(),
        user_agent: "Firefox\r\nBcc: everyone@example.com".into(),
        event_time: Some(Timestamp {
            seconds: 1_770_109_500,
            nanos: 5,
        }),
        ..GetNotificationResponse::default()
    }
}

fn links(app: Option<&str>) -> Links {
    Links {
        app: app.map(str::to_owned),
        api: "http://localhost:5000".into(),
    }
}

#[test]
fn a_registration_leads_to_the_page_of_the_app() {
    let letter = write(
        &notification(NotificationKind::Registration),
        &links(Some("https://app.example.com/welcome")),
    )
    .unwrap();
    assert!(
        letter
            .body
            .contains("\nhttps://app.example.com/welcome?token=tok-en_1\n"),
        "{}",
        letter.body
    );
    assert!(
        letter
            .body
            .contains("once, until 3 February 2026, 09:05 UTC."),
        "{}",
        letter.body
    );
    assert_eq!(
        with_token("https://example.com/?page=welcome", "t"),
        "https://example.com/?page=welcome&token=t"
    );
}

#[test]
fn without_an_app_a_registration_shows_the_token_and_the_call() {
    let letter = write(&notification(NotificationKind::Registration), &links(None)).unwrap();
    assert!(
        letter.body.lines().any(|line| line == "token: tok-en_1"),
        "{}",
        letter.body
    );
    let call = "curl -X POST http://localhost:5000/v1/accounts:completeRegistration \\\n  -H 'content-type: application/json' \\\n  \
                -d '{\"token\":\"tok-en_1\",\"password\":\"a password of your choice\"}'\n";
    assert!(letter.body.contains(call), "{}", letter.body);
}

#[test]
fn a_forgotten_password_leads_to_the_same_page_with_its_purpose_or_to_the_call() {
    let reset = notification(NotificationKind::PasswordReset);
    let letter = write(&reset, &links(Some("https://app.example.com/welcome"))).unwrap();
    let link = "\nhttps://app.example.com/welcome?token=tok-en_1&purpose=passwordReset\n";
    assert!(letter.body.contains(link), "{}", letter.body);
    let letter = write(&reset, &links(None)).unwrap();
    let call = "curl -X POST http://localhost:5000/v1/passwords:reset \\\n  -H 'content-type: application/json' \\\n  \
                -d '{\"token\":\"tok-en_1\",\"newPassword\":\"a password of your choice\"}'\n";
    assert!(letter.body.contains(call), "{}", letter.body);
}

#[test]
fn a_changed_password_is_told_with_the_way_out_for_its_owner() {
    let changed = notification(NotificationKind::PasswordChanged);
    let letter = write(&changed, &links(None)).unwrap();
    assert!(
        letter.body.contains("  From: 192.0.2.7\n"),
        "{}",
        letter.body
    );
    let call = "curl -X POST http://localhost:5000/v1/passwords:requestReset \\\n  -H 'content-type: application/json' \\\n  \
                -d '{\"email\":\"zoe@example.com\"}'\n";
    assert!(letter.body.contains(call), "{}", letter.body);
}

#[test]
fn a_registration_carries_no_word_of_whoever_asked_for_it() {
    let letter = write(&notification(NotificationKind::Registration), &links(None)).unwrap();
    assert!(!letter.body.contains("Zoë") && !letter.body.contains("Firefox"));
    assert!(
        letter.body.is_ascii(),
        "an ASCII body is sent as it is, so that nothing wraps the token"
    );
}

#[test]
fn a_new_device_is_described_in_single_lines() {
    let letter = write(&notification(NotificationKind::NewDevice), &links(None)).unwrap();
    assert!(letter.body.starts_with("Hello Zoë,\n"));
    assert!(letter.body.contains("  When: 3 February 2026, 09:05 UTC\n  From: 192.0.2.7\n  With: FirefoxBcc: everyone@example.com\n"), "{}", letter.body);
}

#[test]
fn what_is_not_known_is_left_out() {
    let bare = GetNotificationResponse {
        kind: NotificationKind::RefreshReuse.into(),
        ..GetNotificationResponse::default()
    };
    let letter = write(&bare, &links(None)).unwrap();
    assert!(letter.body.starts_with("Hello,\n"));
    assert!(!letter.body.contains("When") && !letter.body.contains("From"));
}

#[test]
fn a_kind_of_a_newer_release_is_not_guessed_at() {
    assert_eq!(
        write(
            &GetNotificationResponse {
                kind: 99,
                ..GetNotificationResponse::default()
            },
            &links(None)
        ),
        None
    );
}

#[test]
fn a_new_address_is_proven_by_the_token_alone_and_the_mail_carries_no_word_of_who_asked() {
    let change = notification(NotificationKind::EmailChange);
    let letter = write(&change, &links(Some("https://app.example.com/welcome"))).unwrap();
    let link = "To go on, open this link:\n\n\
                https://app.example.com/welcome?token=tok-en_1&purpose=emailChange\n";
    assert!(letter.body.contains(link), "{}", letter.body);
    let letter = write(&change, &links(None)).unwrap();
    assert!(
        letter.body.lines().any(|line| line == "token: tok-en_1"),
        "{}",
        letter.body
    );
    let call = "curl -X POST http://localhost:5000/v1/emails:confirm \\\n  -H 'content-type: application/json' \\\n  \
                -d '{\"token\":\"tok-en_1\"}'\n";
    assert!(letter.body.contains(call), "{}", letter.body);
    assert!(letter.body.is_ascii() && !letter.body.contains("Firefox"));
}

#[test]
fn the_owner_of_an_address_that_another_account_asked_for_gets_no_token() {
    let letter = write(&notification(NotificationKind::EmailTaken), &links(None)).unwrap();
    assert!(letter.body.starts_with("Hello Zoë,\n"));
    assert!(!letter.body.contains("tok-en_1"), "{}", letter.body);
}

#[test]
fn the_address_from_before_is_told_when_and_from_where() {
    let letter = write(&notification(NotificationKind::EmailChanged), &links(None)).unwrap();
    assert!(
        letter
            .body
            .contains("  When: 3 February 2026, 09:05 UTC\n  From: 192.0.2.7\n"),
        "{}",
        letter.body
    );
    assert!(!letter.body.contains("zoe@example.com"));
}

#[test]
fn the_last_mail_tells_what_happened_and_has_no_token() {
    let deleted = notification(NotificationKind::AccountDeleted);
    let letter = write(&deleted, &links(None)).unwrap();
    assert!(letter.body.starts_with("Hello Zoë,\n"));
    assert!(
        letter.body.contains("  From: 192.0.2.7\n") && !letter.body.contains("tok-en_1"),
        "{}",
        letter.body
    );
}
