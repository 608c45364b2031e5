//! The topics that this service reads and writes.

use outbox::Topic;

/// What happens to accounts; the key is the account id.
pub const ACCOUNT: &str = "grimoire.auth.account.v1";
/// Mails to addresses that may have no account; the key is a code of the address.
pub const NOTICE: &str = "grimoire.auth.notice.v1";
/// What happens to profiles and preferences; the key is the account id.
pub const PROFILE: &str = "grimoire.user.profile.v1";

/// Every topic that this service's relay makes and fills: copies of what could not be handled.
pub const ALL: &[Topic] = &[
    Topic {
        name: "grimoire.auth.account.v1.dlq",
        max_payload: DEAD_LETTER,
    },
    Topic {
        name: "grimoire.auth.notice.v1.dlq",
        max_payload: DEAD_LETTER,
    },
    Topic {
        name: "grimoire.user.profile.v1.dlq",
        max_payload: DEAD_LETTER,
    },
];

/// The dead-letter topic of `topic`.
pub(crate) fn dead_letters_of(topic: &str) -> Option<&'static Topic> {
    ALL.iter()
        .find(|dead| dead.name.strip_suffix(".dlq") == Some(topic))
}

/// As much as an outbox takes: a letter may be dead because it is not what its topic should hold.
const DEAD_LETTER: usize = 900 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_that_is_read_has_one_for_its_dead_letters() {
        for topic in [ACCOUNT, NOTICE, PROFILE] {
            assert_eq!(dead_letters_of(topic).unwrap().name, format!("{topic}.dlq"));
        }
        assert_eq!(dead_letters_of("grimoire.auth.account"), None);
    }
}
