//! What happens when somebody has proven who they are.

use aws_lc_rs::rand;
use grimoire_proto::events::v1::LoggedIn;
use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use crate::client::Client;
use crate::email::Pseudonyms;
use crate::error::Error;
use crate::store::accounts::Account;
use crate::store::notifications::{Kind, Subject};
use crate::store::sessions::NewSession;
use crate::store::{known_devices, notifications, sessions};
use crate::tokens::{Grant, RefreshGrant, TokenIssuer};
use crate::topics;

/// A mail about a sign-in is of no use later.
const MAIL_WITHIN: Duration = Duration::days(7);

/// Whether the owner is told of a device that was not seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// Tell, where it is new.
    MayBeNew,
    /// It has just completed the registration.
    Own,
}

/// Opens a session of an account whose event version was raised for the event this emits. The tokens may be issued when the
/// transaction has been committed.
pub(crate) async fn open_session(
    connection: &mut PgConnection,
    account: Account,
    client: &Client,
    device: Device,
    pseudonyms: &Pseudonyms,
    tokens: &TokenIssuer,
) -> Result<Grant, Error> {
    let unseen = known_devices::remember(
        &mut *connection,
        account.id,
        &pseudonyms.device(account.id, &client.user_agent),
    )
    .await?;
    let new_device = unseen && device == Device::MayBeNew;

    let session = Uuid::now_v7();
    let mut secret = vec![0; 32];
    rand::fill(&mut secret)?;
    let kid = tokens.refresh_keys.current().0.to_owned();
    let amr = vec!["pwd".to_owned()];
    let opened = sessions::insert(
        &mut *connection,
        &NewSession {
            id: session,
            account: account.id,
            secret: &secret,
            refresh_kid: &kid,
            idle: tokens.policy.idle.as_secs_f64(),
            absolute: tokens.policy.absolute.as_secs_f64(),
            amr: &amr,
            user_agent: &client.user_agent,
            address: &client.address,
        },
    )
    .await?;

    let event = outbox::append(
        &mut *connection,
        &topics::ACCOUNT,
        &account.id.to_string(),
        account.event_version,
        &LoggedIn {
            account_id: account.id.to_string(),
            session_id: session.to_string(),
            new_device,
        },
    )
    .await?;
    if new_device {
        let subject = Subject {
            account: Some(account.id),
            session: Some(session),
            ..Subject::default()
        };
        notifications::insert(
            &mut *connection,
            event,
            Kind::NewDevice,
            subject,
            opened.now + MAIL_WITHIN,
        )
        .await?;
    }

    Ok(Grant {
        account: account.id,
        session,
        roles: account.roles,
        security_version: account.security_version,
        auth_time: opened.now,
        amr,
        issued_at: opened.now,
        refresh: RefreshGrant {
            kid,
            counter: 1,
            secret,
            expires_at: opened.refresh_expires_at,
        },
    })
}
