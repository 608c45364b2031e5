//! Table notifications: what a mail needs and no event may carry, keyed by the event's id.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// A mail that an event leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Registration,
    RegistrationRepeated,
    NewDevice,
    RefreshReuse,
    PasswordReset,
    PasswordChanged,
    EmailChange,
    EmailTaken,
    EmailChanged,
    AccountDeleted,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::RegistrationRepeated => "registration_repeated",
            Self::NewDevice => "new_device",
            Self::RefreshReuse => "refresh_reuse",
            Self::PasswordReset => "password_reset",
            Self::PasswordChanged => "password_changed",
            Self::EmailChange => "email_change",
            Self::EmailTaken => "email_taken",
            Self::EmailChanged => "email_changed",
            Self::AccountDeleted => "account_deleted",
        }
    }

    /// The kind with this name in the database; the table's check holds them equal.
    pub(crate) fn of(name: &str) -> Option<Self> {
        [
            Self::Registration,
            Self::RegistrationRepeated,
            Self::NewDevice,
            Self::RefreshReuse,
            Self::PasswordReset,
            Self::PasswordChanged,
            Self::EmailChange,
            Self::EmailTaken,
            Self::EmailChanged,
            Self::AccountDeleted,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// What a mail is about: exactly what its kind needs.
#[derive(Default)]
pub(crate) struct Subject {
    pub(crate) registration: Option<Uuid>,
    pub(crate) account: Option<Uuid>,
    pub(crate) session: Option<Uuid>,
    pub(crate) reset: Option<Uuid>,
    pub(crate) change: Option<Uuid>,
    /// Where the mail goes, when it is not to the account's address.
    pub(crate) address: Option<String>,
}

pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    event: Uuid,
    kind: Kind,
    subject: Subject,
    expires_at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into notifications (event_id, kind, registration_id, account_id, session_id, reset_id, change_id, address, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        event,
        kind.name(),
        subject.registration,
        subject.account,
        subject.session,
        subject.reset,
        subject.change,
        subject.address,
        expires_at,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// A notification with the rows that it speaks of.
pub(crate) struct Notification {
    pub(crate) kind: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
    pub(crate) expired: bool,
    pub(crate) registration: Option<Uuid>,
    pub(crate) registration_email: Option<String>,
    pub(crate) registration_name: Option<String>,
    pub(crate) registration_locale: Option<String>,
    pub(crate) reset: Option<Uuid>,
    pub(crate) change: Option<Uuid>,
    pub(crate) change_email: Option<String>,
    /// Of the registration, the reset or the change.
    pub(crate) token_hash: Option<Vec<u8>>,
    /// Whether that was used or superseded, or is of a security version that the account has left.
    pub(crate) closed: bool,
    /// The account is locked, disabled or deleted.
    pub(crate) held: bool,
    /// The account was deleted.
    pub(crate) deleted: bool,
    /// Where the mail goes, when it is not to the account's address.
    pub(crate) address: Option<String>,
    pub(crate) account_email: Option<String>,
    pub(crate) account_name: Option<String>,
    pub(crate) account_locale: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) client_address: Option<String>,
}

pub(crate) async fn get(
    executor: impl PgExecutor<'_>,
    event: Uuid,
) -> Result<Option<Notification>, sqlx::Error> {
    sqlx::query_as!(
        Notification,
        r#"select n.kind, n.created_at, n.expires_at, n.expires_at <= now() as "expired!",
                  r.id as "registration?", r.email as "registration_email?", r.display_name as "registration_name?",
                  r.locale as "registration_locale?", p.id as "reset?", c.id as "change?", c.email as "change_email?",
                  coalesce(r.token_hash, p.token_hash, c.token_hash) as "token_hash?",
                  (coalesce(r.used_at, r.superseded_at, p.used_at, p.superseded_at, c.used_at, c.superseded_at) is not null
                   or coalesce(c.security_version <> a.security_version, false)) as "closed!",
                  a.disabled_at is not null as "held!", a.deleted_at is not null as "deleted!", n.address as "address?",
                  a.email as "account_email?", a.display_name as "account_name?", a.locale as "account_locale?",
                  s.user_agent as "user_agent?", s.address as "client_address?"
           from notifications n
           left join registrations r on r.id = n.registration_id
           left join password_resets p on p.id = n.reset_id
           left join email_changes c on c.id = n.change_id
           left join accounts a on a.id = n.account_id
           left join sessions s on s.id = n.session_id
           where n.event_id = $1"#,
        event,
    )
    .fetch_optional(executor)
    .await
}

/// An address that an account has left, for the mail that says so.
pub(crate) struct LeftAddress {
    pub(crate) event: Uuid,
    pub(crate) address: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
}

/// The addresses that an account has left, newest first, those before `before` where given.
pub(crate) async fn left_addresses(
    executor: impl PgExecutor<'_>,
    account: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<LeftAddress>, sqlx::Error> {
    sqlx::query_as!(
        LeftAddress,
        r#"select event_id as event, address as "address!", created_at, expires_at from notifications
           where account_id = $1 and address is not null and ($2::uuid is null or event_id < $2)
           order by event_id desc limit $3"#,
        account,
        before,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Forgets all that speak of an account that was deleted.
pub(crate) async fn delete(
    executor: impl PgExecutor<'_>,
    account: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from notifications where account_id = $1", account)
        .execute(executor)
        .await
        .map(drop)
}

/// Deletes what expired 30 days ago; what has an address that is not the account's any more, as soon as it has expired.
pub(crate) async fn sweep(executor: impl PgExecutor<'_>, most: i64) -> Result<u64, sqlx::Error> {
    sqlx::query!(
        "delete from notifications where event_id = any (array(
             select event_id from notifications
             where expires_at < now() - interval '30 days' or (address is not null and expires_at < now())
             limit $1 for update skip locked))",
        most,
    )
    .execute(executor)
    .await
    .map(|done| done.rows_affected())
}
