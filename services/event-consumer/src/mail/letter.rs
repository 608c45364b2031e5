//! What the mails say: plain text, English.

use grimoire_proto::auth::v1::{GetNotificationResponse, NotificationKind};
use prost_types::Timestamp;
use time::OffsetDateTime;
use time::macros::format_description;

/// Where the reader of a mail goes on.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    /// Page of the product that takes `?token=..`. Without one, a mail shows the token and the call that uses it.
    pub(crate) app: Option<String>,
    /// The public entry point, for those calls.
    pub(crate) api: String,
}

/// A mail before it is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) subject: &'static str,
    pub(crate) body: String,
}

/// Writes the mail for `notification`; none for a kind that this build does not know.
pub(crate) fn write(notification: &GetNotificationResponse, links: &Links) -> Option<Letter> {
    let letter = match notification.kind() {
        NotificationKind::Unspecified => return None,
        NotificationKind::Registration => registration(notification, links),
        NotificationKind::RegistrationRepeated => registration_repeated(notification),
        NotificationKind::NewDevice => new_device(notification, links),
        NotificationKind::RefreshReuse => refresh_reuse(notification),
        NotificationKind::PasswordReset => password_reset(notification, links),
        NotificationKind::PasswordChanged => password_changed(notification, links),
    };
    Some(letter)
}

/// Whoever registers an address also chooses the name, and may not be its owner: this mail must not carry their words.
fn registration(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let how = how_to_go_on(
        notification,
        links,
        ("accounts:completeRegistration", "password"),
        "",
    );
    Letter {
        subject: "Finish your registration",
        body: format!(
            "Hello,\n\
             \n\
             welcome! Somebody, we hope you, would like to open an account with this address.\n\
             \n\
             {how}\n\
             \n\
             This works once{until}.\n\
             \n\
             If it was not you, there is nothing to do: without this mail nobody can open an account\n\
             with your address.\n",
            until = until(notification),
        ),
    }
}

fn password_reset(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let how = how_to_go_on(
        notification,
        links,
        ("passwords:reset", "newPassword"),
        "&purpose=passwordReset",
    );
    Letter {
        subject: "Choose a new password",
        body: format!(
            "{hello}\n\
             \n\
             somebody, we hope you, would like to sign in with your address and has forgotten the password.\n\
             \n\
             {how}\n\
             \n\
             This works once{until}. It signs you out everywhere.\n\
             \n\
             If it was not you, there is nothing to do: your password is as it was.\n",
            hello = hello(notification),
            until = until(notification),
        ),
    }
}

fn password_changed(notification: &GetNotificationResponse, links: &Links) -> Letter {
    let facts = match facts(notification).as_str() {
        "" => String::new(),
        facts => format!("{facts}\n"),
    };
    Letter {
        subject: "Your password was changed",
        body: format!(
            "{hello}\n\
             \n\
             your account has another password now, and is signed out on every other device.\n\
             \n\
             {facts}\
             If that was you, all is well.\n\
             \n\
             {if_not}",
            hello = hello(notification),
            if_not = if_not(notification, links),
        ),
    }
}

/// What an owner does who finds a stranger in the account.
fn if_not(notification: &GetNotificationResponse, links: &Links) -> String {
    let how = match &links.app {
        Some(app) => format!("ask for a new one there:\n\n{app}\n"),
        None => format!(
            "ask for a new one, for example from a shell:\n\
             \n\
             curl -X POST {api}/v1/passwords:requestReset \\\n\
             \x20 -H 'content-type: application/json' \\\n\
             \x20 -d '{{\"email\":\"{address}\"}}'\n",
            api = links.api,
            address = one_line(&notification.address),
        ),
    };
    format!(
        "If it was not, somebody else knows your password or reads your mail: {how}\
         \n\
         That signs the other one out, too. If you use the old password elsewhere, change it there.\n"
    )
}

/// The page that takes the token or, without one, the token and the call: its path, and the field of the password.
fn how_to_go_on(
    notification: &GetNotificationResponse,
    links: &Links,
    (call, field): (&str, &str),
    purpose: &str,
) -> String {
    let token = &notification.token;
    match &links.app {
        Some(app) => format!(
            "To go on, open this link and choose a password:\n\n{}{purpose}",
            with_token(app, token)
        ),
        None => format!(
            "To go on, send this token together with a password of your choice:\n\
             \n\
             token: {token}\n\
             \n\
             For example from a shell:\n\
             \n\
             curl -X POST {api}/v1/{call} \\\n\
             \x20 -H 'content-type: application/json' \\\n\
             \x20 -d '{{\"token\":\"{token}\",\"{field}\":\"a password of your choice\"}}'",
            api = links.api,
        ),
    }
}

fn until(notification: &GetNotificationResponse) -> String {
    notification
        .token_expire_time
        .as_ref()
        .and_then(moment)
        .map(|time| format!(", until {time}"))
        .unwrap_or_default()
}

fn registration_repeated(notification: &GetNotificationResponse) -> Letter {
    Letter {
        subject: "You already have an account",
        body: format!(
            "{hello}\n\
             \n\
             somebody, perhaps you, tried to open an account with this address. It has one already,\n\
             so just sign in with it.\n\
             \n\
             If it was not you, there is nothing to do: your account is as it was, and nobody was told\n\
             that you have one.\n",
            hello = hello(notification),
        ),
    }
}

fn new_device(notification: &GetNotificationResponse, links: &Links) -> Letter {
    Letter {
        subject: "A new device signed in to your account",
        body: format!(
            "{hello}\n\
             \n\
             your account was used on a device that we have not seen before:\n\
             \n\
             {facts}\n\
             If that was you, all is well.\n\
             \n\
             {if_not}",
            hello = hello(notification),
            facts = facts(notification),
            if_not = if_not(notification, links),
        ),
    }
}

fn refresh_reuse(notification: &GetNotificationResponse) -> Letter {
    Letter {
        subject: "We ended a session of your account",
        body: format!(
            "{hello}\n\
             \n\
             a session of your account was used from two places at once, as happens when somebody has\n\
             copied it. To be safe we have ended it:\n\
             \n\
             {facts}\n\
             Please sign in again. If you did not move the session yourself, look at the device it was\n\
             on: something there may read what it should not.\n",
            hello = hello(notification),
            facts = facts(notification),
        ),
    }
}

fn hello(notification: &GetNotificationResponse) -> String {
    match one_line(&notification.display_name).as_str() {
        "" => "Hello,".to_owned(),
        name => format!("Hello {name},"),
    }
}

fn facts(notification: &GetNotificationResponse) -> String {
    let time = notification
        .event_time
        .as_ref()
        .and_then(moment)
        .unwrap_or_default();
    let facts = [
        ("When", time),
        ("From", one_line(&notification.client_address)),
        ("With", one_line(&notification.user_agent)),
    ];
    facts
        .iter()
        .filter(|(_, fact)| !fact.is_empty())
        .map(|(name, fact)| format!("  {name}: {fact}\n"))
        .collect()
}

/// What a client has sent may not break out of its line.
fn one_line(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .collect::<String>()
        .trim()
        .to_owned()
}

/// `3 February 2026, 09:05 UTC`.
fn moment(timestamp: &Timestamp) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(timestamp.seconds).ok()?;
    time.format(format_description!(
        "[day padding:none] [month repr:long] [year], [hour]:[minute] UTC"
    ))
    .ok()
}

/// Tokens are of characters that a query may hold as they are.
fn with_token(page: &str, token: &str) -> String {
    let separator = if page.contains('?') { '&' } else { '?' };
    format!("{page}{separator}token={token}")
}

#[cfg(test)]
mod tests {
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
}
