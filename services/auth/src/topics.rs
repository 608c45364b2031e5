//! The topics that auth writes.

use outbox::Topic;

/// What happens to accounts, by account id.
pub const ACCOUNT: Topic = Topic {
    name: "grimoire.auth.account.v1",
    max_payload: 4096,
};
/// What mails are due to addresses that have no account, or may have none, by the HMAC of the address.
pub const NOTICE: Topic = Topic {
    name: "grimoire.auth.notice.v1",
    max_payload: 1024,
};

/// All of them: the relay makes those that are missing.
pub const ALL: &[Topic] = &[ACCOUNT, NOTICE];
