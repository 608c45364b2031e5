//! What the letters are made of.

use grimoire_proto::auth::v1::GetNotificationResponse;
use prost_types::Timestamp;
use time::OffsetDateTime;
use time::macros::format_description;

use super::Links;

/// What an owner does who finds a stranger in the account.
pub(super) fn if_not(notification: &GetNotificationResponse, links: &Links) -> String {
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

/// How the token of a mail is used.
pub(super) struct Step {
    /// The call that takes it.
    pub(super) call: &'static str,
    /// The call's field for a password of the reader's choice, where it takes one.
    pub(super) password: Option<&'static str>,
    /// What tells the page of the app what the token is for.
    pub(super) purpose: &'static str,
}

impl Step {
    /// The page that takes the token or, without one, the token and the call.
    pub(super) fn how(&self, notification: &GetNotificationResponse, links: &Links) -> String {
        let Self { call, purpose, .. } = self;
        let token = &notification.token;
        if let Some(app) = &links.app {
            let choose = self.password.map_or("", |_| " and choose a password");
            return format!(
                "To go on, open this link{choose}:\n\n{}{purpose}",
                with_token(app, token)
            );
        }
        let (together, field) = match self.password {
            Some(field) => (
                " together with a password of your choice",
                format!(",\"{field}\":\"a password of your choice\""),
            ),
            None => ("", String::new()),
        };
        format!(
            "To go on, send this token{together}:\n\
             \n\
             token: {token}\n\
             \n\
             For example from a shell:\n\
             \n\
             curl -X POST {api}/v1/{call} \\\n\
             \x20 -H 'content-type: application/json' \\\n\
             \x20 -d '{{\"token\":\"{token}\"{field}}}'",
            api = links.api,
        )
    }
}

pub(super) fn until(notification: &GetNotificationResponse) -> String {
    notification
        .token_expire_time
        .as_ref()
        .and_then(moment)
        .map(|time| format!(", until {time}"))
        .unwrap_or_default()
}

pub(super) fn hello(notification: &GetNotificationResponse) -> String {
    match one_line(&notification.display_name).as_str() {
        "" => "Hello,".to_owned(),
        name => format!("Hello {name},"),
    }
}

pub(super) fn facts(notification: &GetNotificationResponse) -> String {
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
pub(super) fn with_token(page: &str, token: &str) -> String {
    let separator = if page.contains('?') { '&' } else { '?' };
    format!("{page}{separator}token={token}")
}
