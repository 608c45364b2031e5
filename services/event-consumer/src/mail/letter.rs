//! What the mails say: plain text, English.

mod phrases;
mod texts;

use grimoire_proto::auth::v1::{GetNotificationResponse, NotificationKind};

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
        NotificationKind::Registration => texts::registration(notification, links),
        NotificationKind::RegistrationRepeated => texts::registration_repeated(notification),
        NotificationKind::NewDevice => texts::new_device(notification, links),
        NotificationKind::RefreshReuse => texts::refresh_reuse(notification),
        NotificationKind::PasswordReset => texts::password_reset(notification, links),
        NotificationKind::PasswordChanged => texts::password_changed(notification, links),
        NotificationKind::EmailChange => texts::email_change(notification, links),
        NotificationKind::EmailTaken => texts::email_taken(notification),
        NotificationKind::EmailChanged => texts::email_changed(notification),
        NotificationKind::AccountDeleted => texts::account_deleted(notification),
    };
    Some(letter)
}

#[cfg(test)]
mod tests;
