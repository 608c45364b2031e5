//! AccountService.ExportAccount: what is kept about a person, record by record: by auth, then by user.

use std::future;

use chassis::caller::Caller;
use chassis::page;
use chassis::wire::timestamp;
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use grimoire_proto::auth::v1::export_account_response::Record;
use grimoire_proto::auth::v1::{
    ExportAccountRequest, ExportAccountResponse, ExportedAccount, ExportedDevice,
    ExportedEmailChange, ExportedFormerEmail, ExportedPasswordReset, ExportedSession,
};
use grimoire_proto::user::v1::export_user_response::Record as UserRecord;
use grimoire_proto::user::v1::{ExportUserRequest, ExportUserResponse};
use sqlx::PgPool;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::AccountApi;
use crate::email::{Email, Pseudonyms};
use crate::error::Error;
use crate::store::{
    accounts, address_state, email_changes, known_devices, notifications, password_resets, sessions,
};

pub(super) type Records = BoxStream<'static, Result<ExportAccountResponse, Status>>;

/// user is asked before the answer begins: where it is away, nothing is answered in place of a part. Its answer waits in the connection
/// until auth's records were taken.
pub(super) async fn export_account(
    api: &AccountApi,
    caller: &Caller,
    request: &ExportAccountRequest,
) -> Result<Records, Error> {
    let id = caller.own(&request.account)?.0;
    let account = account(&api.pool, &api.pseudonyms, id).await?;
    let of_user = ExportUserRequest {
        account: id.to_string(),
    };
    let of_user = api.user_data.clone().export_user(of_user).await;
    let of_user = of_user.map_err(Error::User)?.into_inner();

    let records = stream::iter([Ok(Record::Account(account))])
        .chain(sessions(api.pool.clone(), id).map_err(Error::from))
        .chain(devices(api.pool.clone(), id).map_err(Error::from))
        .chain(email_changes(api.pool.clone(), id).map_err(Error::from))
        .chain(password_resets(api.pool.clone(), id).map_err(Error::from))
        .chain(former_emails(api.pool.clone(), id).map_err(Error::from))
        .chain(of_user_records(of_user).map_err(Error::User));
    Ok(records
        .map_ok(|record| ExportAccountResponse {
            record: Some(record),
        })
        .map_err(Status::from)
        .boxed())
}

async fn account(
    pool: &PgPool,
    pseudonyms: &Pseudonyms,
    id: Uuid,
) -> Result<ExportedAccount, Error> {
    let account = accounts::kept(pool, id)
        .await?
        .ok_or(Error::NotFound("account"))?;
    let failures = match Email::parse(&account.email) {
        Ok(email) => address_state::failures(pool, pseudonyms.address(&email).as_bytes()).await?,
        Err(_) => None,
    };
    Ok(ExportedAccount {
        id: account.id.to_string(),
        email: account.email,
        display_name: account.display_name,
        locale: account.locale,
        roles: account.roles,
        create_time: Some(timestamp(account.created_at)),
        hold_time: account.disabled_at.map(timestamp),
        failed_logins: failures.as_ref().map_or(0, |state| state.failures),
        last_failed_login_time: failures
            .and_then(|state| state.last_failure_at)
            .map(timestamp),
    })
}

fn sessions(pool: PgPool, account: Uuid) -> impl Stream<Item = Result<Record, sqlx::Error>> {
    let rows = page::all(
        move |before, limit| {
            let pool = pool.clone();
            async move { sessions::kept(&pool, account, before, limit).await }
        },
        |row: &sessions::Kept| row.id,
    );
    rows.map_ok(|row| {
        Record::Session(ExportedSession {
            id: row.id.to_string(),
            user_agent: row.user_agent,
            address: row.address,
            create_time: Some(timestamp(row.created_at)),
            last_use_time: Some(timestamp(row.rotated_at)),
            auth_time: Some(timestamp(row.auth_time)),
            auth_methods: row.amr,
            expire_time: Some(timestamp(row.refresh_expires_at)),
            end_time: row.ended_at.map(timestamp),
        })
    })
}

fn devices(pool: PgPool, account: Uuid) -> impl Stream<Item = Result<Record, sqlx::Error>> {
    let rows = page::all(
        move |after: Option<Vec<u8>>, limit| {
            let pool = pool.clone();
            async move { known_devices::kept(&pool, account, after.as_deref(), limit).await }
        },
        |row: &known_devices::Kept| row.device_hmac.clone(),
    );
    rows.map_ok(|row| {
        Record::Device(ExportedDevice {
            last_use_time: Some(timestamp(row.last_seen_at)),
        })
    })
}

fn email_changes(pool: PgPool, account: Uuid) -> impl Stream<Item = Result<Record, sqlx::Error>> {
    let rows = page::all(
        move |before, limit| {
            let pool = pool.clone();
            async move { email_changes::kept(&pool, account, before, limit).await }
        },
        |row: &email_changes::Kept| row.id,
    );
    rows.map_ok(|row| {
        Record::EmailChange(ExportedEmailChange {
            new_email: row.email,
            session_id: row.session.to_string(),
            create_time: Some(timestamp(row.created_at)),
            expire_time: Some(timestamp(row.expires_at)),
            use_time: row.used_at.map(timestamp),
            supersede_time: row.superseded_at.map(timestamp),
        })
    })
}

fn password_resets(pool: PgPool, account: Uuid) -> impl Stream<Item = Result<Record, sqlx::Error>> {
    let rows = page::all(
        move |before, limit| {
            let pool = pool.clone();
            async move { password_resets::kept(&pool, account, before, limit).await }
        },
        |row: &password_resets::Kept| row.id,
    );
    rows.map_ok(|row| {
        Record::PasswordReset(ExportedPasswordReset {
            create_time: Some(timestamp(row.created_at)),
            expire_time: Some(timestamp(row.expires_at)),
            use_time: row.used_at.map(timestamp),
            supersede_time: row.superseded_at.map(timestamp),
        })
    })
}

fn former_emails(pool: PgPool, account: Uuid) -> impl Stream<Item = Result<Record, sqlx::Error>> {
    let rows = page::all(
        move |before, limit| {
            let pool = pool.clone();
            async move { notifications::left_addresses(&pool, account, before, limit).await }
        },
        |row: &notifications::LeftAddress| row.event,
    );
    rows.map_ok(|row| {
        Record::FormerEmail(ExportedFormerEmail {
            email: row.address,
            create_time: Some(timestamp(row.created_at)),
            expire_time: Some(timestamp(row.expires_at)),
        })
    })
}

/// Passes over kinds of records that a later release of user has, and this one does not know.
fn of_user_records(
    answers: Streaming<ExportUserResponse>,
) -> impl Stream<Item = Result<Record, Status>> {
    answers.try_filter_map(|answer| {
        let record = answer.record.map(|record| match record {
            UserRecord::Profile(profile) => Record::Profile(profile),
            UserRecord::Preferences(preferences) => Record::Preferences(preferences),
            UserRecord::Activity(activity) => Record::Activity(activity),
        });
        future::ready(Ok(record))
    })
}
