//! UserDataService.ExportUser: what is kept about a person, record by record.

use chassis::page;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use grimoire_proto::user::v1::export_user_response::Record;
use grimoire_proto::user::v1::{ExportUserRequest, ExportUserResponse};
use sqlx::PgPool;
use tonic::Status;
use uuid::Uuid;

use crate::error::{Error, Violation};
use crate::store::activities::{self, ActivityRow};
use crate::store::{preferences, profiles};
use crate::{activity, profile};

pub(super) type Records = BoxStream<'static, Result<ExportUserResponse, Status>>;

/// Makes no profile: what is not there is not kept.
pub(super) async fn export_user(
    pool: &PgPool,
    request: &ExportUserRequest,
) -> Result<Records, Error> {
    let account: Uuid = request
        .account
        .parse()
        .map_err(|_| Error::InvalidFields(vec![Violation::new("account", "is no account id")]))?;
    let profile = profiles::read(pool, account).await?;
    let profile = profile.map(|row| Record::Profile(profile::message(row)));
    let preferences = preferences::read(pool, account).await?;
    let preferences = preferences.map(|row| Record::Preferences(crate::preferences::message(row)));

    let pool = pool.clone();
    let activities = page::all(
        move |before, limit| {
            let pool = pool.clone();
            async move { activities::newest_first(&pool, account, None, before, limit).await }
        },
        |row: &ActivityRow| (row.time, row.id),
    );
    let activities = activities.map_ok(|row| Record::Activity(activity::message(row)));
    let records = stream::iter(profile.into_iter().chain(preferences)).map(Ok);
    let records = records.chain(activities);
    Ok(records
        .map_ok(|record| ExportUserResponse {
            record: Some(record),
        })
        .map_err(|error: sqlx::Error| Status::from(Error::from(error)))
        .boxed())
}
