//! NotificationService.GetNotification: what a mail needs and no event may carry.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use chassis::wire::timestamp;
use grimoire_proto::auth::v1::{GetNotificationRequest, GetNotificationResponse, NotificationKind};
use sqlx::PgPool;
use uuid::Uuid;

use crate::email::Email;
use crate::error::{Error, Violation};
use crate::mail_token::{self, MailTokens};
use crate::store::notifications::{self, Kind, Notification};

/// Asking again gives the same answer until there is nothing left to tell.
pub(super) async fn get_notification(
    pool: &PgPool,
    mail_tokens: &MailTokens,
    request: &GetNotificationRequest,
) -> Result<GetNotificationResponse, Error> {
    let event = Uuid::try_parse(&request.event)
        .map_err(|_| Violation::new("event", "is not an event id"))?;
    let notification = notifications::get(pool, event)
        .await?
        .ok_or(Error::NotFound("notification"))?;
    // A kind of a later release.
    let kind = Kind::of(&notification.kind).ok_or(Error::NotFound("notification"))?;
    if notification.expired {
        return Err(Error::NotificationObsolete);
    }
    match kind {
        Kind::Registration => registration(mail_tokens, event, notification),
        // That the address has an account is no longer true.
        Kind::RegistrationRepeated | Kind::EmailTaken if notification.deleted => {
            Err(Error::NotificationObsolete)
        }
        Kind::RegistrationRepeated => {
            to_the_owner(NotificationKind::RegistrationRepeated, notification)
        }
        Kind::NewDevice => to_the_owner(NotificationKind::NewDevice, notification),
        Kind::RefreshReuse => to_the_owner(NotificationKind::RefreshReuse, notification),
        Kind::PasswordReset => password_reset(mail_tokens, event, notification),
        Kind::PasswordChanged => to_the_owner(NotificationKind::PasswordChanged, notification),
        Kind::EmailChange => email_change(mail_tokens, event, notification),
        Kind::EmailTaken => to_the_owner(NotificationKind::EmailTaken, notification),
        Kind::EmailChanged => email_changed(notification),
        Kind::AccountDeleted => to_the_owner(NotificationKind::AccountDeleted, notification),
    }
}

fn registration(
    mail_tokens: &MailTokens,
    event: Uuid,
    notification: Notification,
) -> Result<GetNotificationResponse, Error> {
    let (Some(id), Some(address), Some(hash)) = (
        notification.registration,
        notification.registration_email,
        notification.token_hash,
    ) else {
        return Err(Error::NotificationObsolete);
    };
    let token = mail_tokens.registration(event, id, &address);
    // They differ when the key of mail tokens was replaced meanwhile: the token would be worth nothing.
    if notification.closed || verify_slices_are_equal(&mail_token::hash(&token), &hash).is_err() {
        return Err(Error::NotificationObsolete);
    }
    Ok(GetNotificationResponse {
        address,
        locale: notification.registration_locale.unwrap_or_default(),
        kind: NotificationKind::Registration.into(),
        display_name: notification.registration_name.unwrap_or_default(),
        token,
        token_expire_time: Some(timestamp(notification.expires_at)),
        event_time: Some(timestamp(notification.created_at)),
        ..Default::default()
    })
}

/// Nobody is told of a request for an address without an account, nor of one that an account with another address has made, nor while
/// the account is locked, disabled or deleted.
fn password_reset(
    mail_tokens: &MailTokens,
    event: Uuid,
    notification: Notification,
) -> Result<GetNotificationResponse, Error> {
    let (Some(id), Some(address), Some(hash)) = (
        notification.reset,
        notification.account_email,
        notification.token_hash,
    ) else {
        return Err(Error::NotificationObsolete);
    };
    let email = Email::parse(&address).map_err(|_| Error::NotificationObsolete)?;
    let token = mail_tokens.password_reset(event, id, &email);
    if notification.closed
        || notification.held
        || verify_slices_are_equal(&mail_token::hash(&token), &hash).is_err()
    {
        return Err(Error::NotificationObsolete);
    }
    Ok(GetNotificationResponse {
        address,
        locale: notification.account_locale.unwrap_or_default(),
        kind: NotificationKind::PasswordReset.into(),
        display_name: notification.account_name.unwrap_or_default(),
        token,
        token_expire_time: Some(timestamp(notification.expires_at)),
        event_time: Some(timestamp(notification.created_at)),
        ..Default::default()
    })
}

/// To the address that the account is to have. It carries no name: whoever reads it may never have heard of the account.
fn email_change(
    mail_tokens: &MailTokens,
    event: Uuid,
    notification: Notification,
) -> Result<GetNotificationResponse, Error> {
    let (Some(id), Some(address), Some(hash)) = (
        notification.change,
        notification.change_email,
        notification.token_hash,
    ) else {
        return Err(Error::NotificationObsolete);
    };
    let token = mail_tokens.email_change(event, id, &address);
    if notification.closed
        || notification.held
        || verify_slices_are_equal(&mail_token::hash(&token), &hash).is_err()
    {
        return Err(Error::NotificationObsolete);
    }
    Ok(GetNotificationResponse {
        address,
        locale: notification.account_locale.unwrap_or_default(),
        kind: NotificationKind::EmailChange.into(),
        token,
        token_expire_time: Some(timestamp(notification.expires_at)),
        event_time: Some(timestamp(notification.created_at)),
        ..Default::default()
    })
}

/// To the address that the account had.
fn email_changed(notification: Notification) -> Result<GetNotificationResponse, Error> {
    let address = notification
        .address
        .clone()
        .ok_or(Error::NotificationObsolete)?;
    Ok(GetNotificationResponse {
        address,
        ..to_the_owner(NotificationKind::EmailChanged, notification)?
    })
}

fn to_the_owner(
    kind: NotificationKind,
    notification: Notification,
) -> Result<GetNotificationResponse, Error> {
    Ok(GetNotificationResponse {
        address: notification
            .account_email
            .filter(|address| !address.is_empty())
            .ok_or(Error::NotificationObsolete)?,
        locale: notification.account_locale.unwrap_or_default(),
        kind: kind.into(),
        display_name: notification.account_name.unwrap_or_default(),
        client_address: notification.client_address.unwrap_or_default(),
        user_agent: notification.user_agent.unwrap_or_default(),
        event_time: Some(timestamp(notification.created_at)),
        ..Default::default()
    })
}
