//! Tokens that travel by mail. They are derived, so asking again gives the same one, and the database holds only a hash.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::email::Email;
use crate::keys::SecretKey;

/// Derives the tokens of mails.
#[derive(Clone)]
pub(crate) struct MailTokens(hmac::Key);

impl MailTokens {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))
    }

    /// The token that completes a registration: of exactly this event, registration and address.
    pub(crate) fn registration(&self, event: Uuid, registration: Uuid, email: &str) -> String {
        self.token(b"registration\0", event, registration, email)
    }

    /// The token that sets a new password: of exactly this event, request and address, whatever its spelling.
    pub(crate) fn password_reset(&self, event: Uuid, reset: Uuid, email: &Email) -> String {
        self.token(b"password reset\0", event, reset, &email.key())
    }

    /// The token that gives an account another address: of exactly this event, request and address.
    pub(crate) fn email_change(&self, event: Uuid, change: Uuid, email: &str) -> String {
        self.token(b"email change\0", event, change, email)
    }

    fn token(&self, purpose: &[u8], event: Uuid, subject: Uuid, email: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(event.as_bytes());
        context.update(subject.as_bytes());
        context.update(email.as_bytes());
        URL_SAFE_NO_PAD.encode(context.sign())
    }
}

/// What the database holds of a token. Tokens have 256 random-looking bits, so the hash needs no salt and may be looked up.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_same_each_time_and_another_for_another_event_registration_or_address() {
        let tokens = MailTokens::new(
            &"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
                .parse()
                .unwrap(),
        );
        let (event, registration) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let token = tokens.registration(event, registration, "ada@example.com");
        assert_eq!(token.len(), 43);
        assert_eq!(
            token,
            tokens.registration(event, registration, "ada@example.com")
        );
        assert_ne!(
            token,
            tokens.registration(registration, registration, "ada@example.com")
        );
        assert_ne!(token, tokens.registration(event, event, "ada@example.com"));
        assert_ne!(
            token,
            tokens.registration(event, registration, "eve@example.com")
        );
    }

    #[test]
    fn a_token_is_good_for_one_purpose() {
        let tokens = MailTokens::new(
            &"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
                .parse()
                .unwrap(),
        );
        let (event, subject, address) = (Uuid::from_u128(1), Uuid::from_u128(2), "ada@example.com");
        let email = Email::parse(address).unwrap();
        let change = tokens.email_change(event, subject, address);
        assert_ne!(change, tokens.registration(event, subject, address));
        assert_ne!(change, tokens.password_reset(event, subject, &email));
    }
}
