//! Keys from the environment: 32 bytes in base64, never shown.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Why a key cannot be read. Says nothing of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not base64, or of another length.
    #[error("a key is 32 bytes in base64, as from `openssl rand -base64 32`")]
    Shape,
    /// The part before the colon.
    #[error("the identifier before the colon is 1 to 16 letters, digits, hyphens or underscores")]
    Identifier,
    /// Two keys of one name.
    #[error("two keys have the same identifier")]
    Twice,
}

/// One key.
#[derive(Clone)]
pub struct SecretKey(Arc<Zeroizing<[u8; 32]>>);

impl SecretKey {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Shape)?);
        let mut key = Zeroizing::new([0_u8; 32]);
        if bytes.len() != key.len() {
            return Err(KeyError::Shape);
        }
        key.copy_from_slice(&bytes);
        Ok(Self(Arc::new(key)))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

/// Named keys, `id:base64,id:base64`: the first makes what is new, the others still open what they made. A key without a name is
/// called `1`.
#[derive(Debug, Clone)]
pub struct KeyRing(Vec<(String, SecretKey)>);

impl KeyRing {
    /// The key that makes what is new.
    pub(crate) fn current(&self) -> (&str, &SecretKey) {
        let (id, key) = &self.0[0];
        (id, key)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&SecretKey> {
        self.0
            .iter()
            .find(|(name, _)| name == id)
            .map(|(_, key)| key)
    }
}

impl FromStr for KeyRing {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<(String, SecretKey)> = Vec::new();
        for entry in text.split(',').map(str::trim) {
            let (id, key) = entry.split_once(':').unwrap_or(("1", entry));
            let named = (1..=16).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if !named {
                return Err(KeyError::Identifier);
            }
            if keys.iter().any(|(name, _)| name == id) {
                return Err(KeyError::Twice);
            }
            keys.push((id.to_owned(), key.parse()?));
        }
        // Splitting gives at least one entry, so there is a current key.
        Ok(Self(keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn a_key_without_a_name_is_called_1() {
        let keys: KeyRing = ZEROS.parse().unwrap();
        assert_eq!(keys.current().0, "1");
        assert_eq!(keys.get("1").unwrap().bytes(), &[0; 32]);
    }

    #[test]
    fn the_first_of_several_keys_is_current_and_the_others_are_kept() {
        let keys: KeyRing = format!("new:{ONES}, old:{ZEROS}").parse().unwrap();
        assert_eq!(keys.current().0, "new");
        assert_eq!(keys.get("old").unwrap().bytes(), &[0; 32]);
        assert!(keys.get("other").is_none());
    }

    #[test]
    fn wrong_keys_are_refused_without_being_shown() {
        assert_eq!("".parse::<KeyRing>().unwrap_err(), KeyError::Shape);
        assert_eq!("c2hvcnQ=".parse::<KeyRing>().unwrap_err(), KeyError::Shape);
        assert_eq!(
            format!("a.b:{ZEROS}").parse::<KeyRing>().unwrap_err(),
            KeyError::Identifier
        );
        assert_eq!(
            format!("a:{ZEROS},a:{ONES}")
                .parse::<KeyRing>()
                .unwrap_err(),
            KeyError::Twice
        );
        assert_eq!(
            format!("{:?}", ZEROS.parse::<KeyRing>().unwrap()),
            r#"KeyRing([("1", SecretKey(..))])"#
        );
    }
}
