//! AccountService.Register: a mail to the address, whatever is known of it.

use grimoire_proto::auth::v1::{RegisterRequest, RegisterResponse};
use grimoire_proto::events::v1::{RegistrationRepeated, RegistrationRequested};
use time::Duration;
use uuid::Uuid;

use super::AccountApi;
use crate::email::Email;
use crate::error::{Error, Violation};
use crate::mail_cap::one_more_mail;
use crate::mail_token;
use crate::store::notifications::{Kind, Subject};
use crate::store::registrations::NewRegistration;
use crate::store::{accounts, address_state, notifications, registrations};
use crate::topics;

/// How long the token of a registration mail is good.
const TOKEN_LIFETIME: Duration = Duration::hours(24);

/// Both paths, for an address with an account and for one without, read and write the same rows and commit once, so that neither the
/// answer nor its time tells them apart.
pub(super) async fn register(
    api: &AccountApi,
    request: RegisterRequest,
) -> Result<RegisterResponse, Error> {
    let email = Email::parse(&request.email)?;
    let display_name = display_name(&request.display_name)?;
    let locale = locale(&request.locale)?;
    let address = api.pseudonyms.address(&email);

    let mut transaction = api.pool.begin().await?;
    let state = address_state::lock(&mut *transaction, address.as_bytes()).await?;
    let Some((mails, mails_since)) = one_more_mail(&state) else {
        transaction.commit().await?;
        api.capped_mails.inc();
        return Ok(RegisterResponse {});
    };
    let version =
        address_state::count_mail(&mut *transaction, address.as_bytes(), mails, mails_since)
            .await?;
    let account = accounts::find(&mut *transaction, &email).await?;

    let registration = Uuid::now_v7();
    let (event, kind) = match account {
        None => {
            let event = RegistrationRequested {
                registration_id: registration.to_string(),
            };
            let id = outbox::append(
                &mut transaction,
                &topics::NOTICE,
                &address.topic_key(),
                version,
                &event,
            )
            .await?;
            (id, Kind::Registration)
        }
        Some(account) => {
            let event = RegistrationRepeated {
                account_id: account.to_string(),
            };
            let id = outbox::append(
                &mut transaction,
                &topics::NOTICE,
                &address.topic_key(),
                version,
                &event,
            )
            .await?;
            (id, Kind::RegistrationRepeated)
        }
    };
    registrations::supersede(&mut *transaction, address.as_bytes()).await?;
    let token = api
        .mail_tokens
        .registration(event, registration, email.as_str());
    let expires_at = state.now + TOKEN_LIFETIME;
    registrations::insert(
        &mut *transaction,
        &NewRegistration {
            id: registration,
            address_hmac: address.as_bytes(),
            email: email.as_str(),
            display_name: &display_name,
            locale: &locale,
            token_hash: &mail_token::hash(&token),
            expires_at,
        },
    )
    .await?;
    let subject = Subject {
        registration: Some(registration),
        account,
        ..Subject::default()
    };
    notifications::insert(&mut *transaction, event, kind, subject, expires_at).await?;
    transaction.commit().await?;

    api.relay.committed();
    Ok(RegisterResponse {})
}

fn display_name(text: &str) -> Result<String, Violation> {
    let name = text.trim();
    if name.chars().count() > 100 {
        return Err(Violation::new(
            "display_name",
            "has more than 100 characters",
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Violation::new("display_name", "has a control character"));
    }
    Ok(name.to_owned())
}

/// The shape of BCP 47: subtags of 1 to 8 letters or digits, the first of letters alone.
fn locale(text: &str) -> Result<String, Violation> {
    let subtag = |tag: &str| {
        (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let language = |text: &str| {
        text.bytes()
            .take_while(|byte| *byte != b'-')
            .all(|byte| byte.is_ascii_alphabetic())
    };
    if text.is_empty() || (text.len() <= 35 && text.split('-').all(subtag) && language(text)) {
        return Ok(text.to_owned());
    }
    Err(Violation::new(
        "locale",
        "is not a language tag such as en or de-AT",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_is_empty_or_shaped_like_a_language_tag() {
        for good in ["", "en", "de-AT", "zh-Hant-TW", "sl-rozaj-biske-1994"] {
            assert!(locale(good).is_ok(), "{good}");
        }
        for bad in [
            "e n",
            "en_US",
            "-en",
            "en-",
            "1en",
            "abcdefghi",
            "en\r\nX-Header: 1",
        ] {
            assert!(locale(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_display_name_is_trimmed_and_has_at_most_100_characters_on_one_line() {
        assert_eq!(display_name("  Ada  "), Ok("Ada".to_owned()));
        assert!(display_name(&"ä".repeat(100)).is_ok());
        assert!(display_name(&"ä".repeat(101)).is_err());
        assert!(display_name("Ada\nBcc: everybody").is_err());
    }
}
