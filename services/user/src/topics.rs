//! The topics that this service writes.

use outbox::Topic;

/// What happens to profiles and preferences; the key is the account id.
pub(crate) const PROFILE: Topic = Topic {
    name: "grimoire.user.profile.v1",
    max_payload: 4 * 1024,
};

/// Every topic that this service's relay makes and fills.
pub const ALL: &[Topic] = &[PROFILE];
