//! What each reason means on the wire; the table is made from the options in reason.proto.

use crate::Reason;

struct Meaning {
    number: i32,
    name: &'static str,
    code: i32,
    http_status: u16,
    title: &'static str,
}

const MEANINGS: &[Meaning] = include!(concat!(env!("OUT_DIR"), "/reason.rs"));

impl Reason {
    /// The name on the wire: `INVALID_CREDENTIALS`.
    pub fn name(self) -> &'static str {
        self.meaning().name
    }

    /// The gRPC status code.
    pub fn code(self) -> tonic::Code {
        tonic::Code::from_i32(self.meaning().code)
    }

    /// The HTTP status of the problem document.
    pub fn http_status(self) -> u16 {
        self.meaning().http_status
    }

    /// The title of the problem document: the same for every problem of this reason.
    pub fn title(self) -> &'static str {
        self.meaning().title
    }

    /// The reason with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        MEANINGS
            .iter()
            .find(|meaning| meaning.name == name)
            .and_then(|meaning| Self::try_from(meaning.number).ok())
    }

    fn meaning(self) -> &'static Meaning {
        MEANINGS
            .iter()
            .find(|meaning| meaning.number == self as i32)
            .unwrap_or(&MEANINGS[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_name_and_has_a_code_a_status_and_a_title() {
        for meaning in MEANINGS {
            let reason = Reason::from_name(meaning.name).unwrap();
            assert_eq!(reason.name(), meaning.name);
            assert_ne!(reason.code(), tonic::Code::Ok);
            assert!(
                (400..600).contains(&reason.http_status()),
                "{}",
                meaning.name
            );
            assert!(!reason.title().is_empty(), "{}", meaning.name);
        }
    }
}
