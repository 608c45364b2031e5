//! UserDataService.RecordActivities.

use grimoire_proto::user::v1::{RecordActivitiesRequest, RecordActivitiesResponse};
use sqlx::PgPool;

use crate::activity;
use crate::error::{Error, Violation};
use crate::rpc::BATCH;
use crate::store::activities;

pub(super) async fn record_activities(
    pool: &PgPool,
    request: RecordActivitiesRequest,
) -> Result<RecordActivitiesResponse, Error> {
    if request.activities.len() > BATCH {
        return Err(Error::InvalidFields(vec![Violation::new(
            "activities",
            format!("has more than {BATCH} entries"),
        )]));
    }
    let mut rows = Vec::with_capacity(request.activities.len());
    let mut violations = Vec::new();
    for (index, record) in request.activities.into_iter().enumerate() {
        match activity::row(record) {
            Ok(row) => rows.push(row),
            Err((field, wrong)) => violations.push(Violation::new(
                format!("activities[{index}].{field}"),
                wrong,
            )),
        }
    }
    if !violations.is_empty() {
        return Err(Error::InvalidFields(violations));
    }
    activities::record(pool, &rows).await?;
    Ok(RecordActivitiesResponse {})
}
