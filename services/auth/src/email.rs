//! E-mail addresses, and the HMAC under which an address is counted and published.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::error::Violation;
use crate::keys::SecretKey;

/// An address that a mail server might accept: the mail proves the rest. The domain is in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    pub(crate) fn parse(text: &str) -> Result<Self, Violation> {
        let wrong = |what: &'static str| Err(Violation::new("email", what));
        let text = text.trim();
        if text.is_empty() {
            return wrong("is required");
        }
        // RFC 5321: 254 octets in all, 64 before the @.
        if text.len() > 254 {
            return wrong("has more than 254 characters");
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            return wrong("has no @");
        };
        let unusual = |part: &str| {
            part.chars()
                .any(|c| c.is_whitespace() || c.is_control() || "@<>()[],;:\\\"".contains(c))
                || part.starts_with('.')
                || part.ends_with('.')
                || part.contains("..")
        };
        if local.is_empty() || local.len() > 64 || unusual(local) {
            return wrong("is not an address before the @");
        }
        let label =
            |label: &str| !label.starts_with('-') && !label.ends_with('-') && label.len() <= 63;
        if !(domain.contains('.') || domain.eq_ignore_ascii_case("localhost"))
            || unusual(domain)
            || !domain.split('.').all(label)
            || !domain
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'))
        {
            return wrong("is not a domain after the @");
        }
        Ok(Self(format!("{local}@{}", domain.to_lowercase())))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// What makes two spellings the same address: the key of the account, and what its pseudonym is made of. Only here, because two
    /// notions of lower case, such as PostgreSQL's and Rust's of `İ`, would give one account several counters of failures.
    pub(crate) fn key(&self) -> String {
        self.0.to_lowercase()
    }

    /// What an attacker would try as a password first.
    pub(crate) fn words(&self) -> Vec<String> {
        self.0
            .split(['@', '.', '+', '-', '_'])
            .chain([self.as_str()])
            .map(str::to_owned)
            .collect()
    }
}

/// Makes pseudonyms of addresses and devices. They stay the same for ever: versions of notices are counted by them.
#[derive(Clone)]
pub(crate) struct Pseudonyms(hmac::Key);

/// The pseudonym of an address, the same for all spellings with one [`Email::key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressHmac([u8; 32]);

impl AddressHmac {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key of the address's notices.
    pub(crate) fn topic_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl Pseudonyms {
    pub(crate) fn new(key: &SecretKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.bytes()))
    }

    pub(crate) fn address(&self, email: &Email) -> AddressHmac {
        AddressHmac(self.mac(&[b"address\0", email.key().as_bytes()]))
    }

    /// What a device is recognised by: the account and the user agent.
    pub(crate) fn device(&self, account: Uuid, user_agent: &str) -> [u8; 32] {
        self.mac(&[b"device\0", account.as_bytes(), user_agent.as_bytes()])
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        let mut mac = [0; 32];
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_addresses_are_taken_and_their_domain_is_lowered() {
        for (text, email) in [
            ("ada@example.com", "ada@example.com"),
            (
                "  Ada.Lovelace+notes@Mail.EXAMPLE.com ",
                "Ada.Lovelace+notes@mail.example.com",
            ),
            ("o'neil@example.co.uk", "o'neil@example.co.uk"),
            ("root@localhost", "root@localhost"),
            ("jürgen@bücher.example", "jürgen@bücher.example"),
        ] {
            assert_eq!(
                Email::parse(text).map(|email| email.0),
                Ok(email.to_owned())
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            " ",
            "ada",
            "@example.com",
            "ada@",
            "ada@example",
            "a da@example.com",
            "ada@exam ple.com",
            "a@b@example.com",
            "ada@.com",
            "ada@example..com",
            ".ada@example.com",
            "ada@-example.com",
            "ada@example.com\nbcc:x@y.z",
            "<ada@example.com>",
            "ada@exa_mple.com",
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
        assert!(Email::parse(&format!("{}@example.com", "a".repeat(65))).is_err());
        assert!(Email::parse(&format!("a@{}.com", "a.".repeat(130))).is_err());
    }

    #[test]
    fn an_address_has_one_pseudonym_in_whatever_case() {
        let key: SecretKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
            .parse()
            .unwrap();
        let pseudonyms = Pseudonyms::new(&key);
        let of = |text| pseudonyms.address(&Email::parse(text).unwrap());
        assert_eq!(of("Ada@example.com"), of("ada@EXAMPLE.com"));
        assert_ne!(of("ada@example.com"), of("ada@example.org"));
    }

    #[test]
    fn spellings_have_one_pseudonym_exactly_when_they_have_one_key() {
        let key: SecretKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
            .parse()
            .unwrap();
        let pseudonyms = Pseudonyms::new(&key);
        let spellings = [
            "vivi",
            "VIVI",
            "v\u{130}vi",
            "vivı",
            "ΟΔΟΣ",
            "οδος",
            "οδοσ",
            "straße",
            "STRASSE",
        ]
        .map(|local| Email::parse(&format!("{local}@example.com")).unwrap());
        for one in &spellings {
            for other in &spellings {
                assert_eq!(
                    one.key() == other.key(),
                    pseudonyms.address(one) == pseudonyms.address(other),
                    "{one:?} {other:?}"
                );
            }
        }
    }
}
