//! Activities: UserDataService.RecordActivities.

use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use grimoire_proto::user::v1::{ActivityRecord, RecordActivitiesRequest};
use inbox::jobs::{Job, Outcome, Worker};
use prost::Message as _;
use tonic::{Status, async_trait};

use crate::workers::in_parts::{Batch, call_in_parts};

/// Kept in the database with each job.
pub(crate) const TARGET: &str = "record-activities";

pub(crate) struct RecordActivities {
    pub(crate) user: UserDataServiceClient<chassis::upstream::Upstream>,
}

#[async_trait]
impl Worker for RecordActivities {
    fn target(&self) -> &'static str {
        TARGET
    }

    fn max_batch(&self) -> usize {
        500
    }

    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        call_in_parts("user", self, jobs).await
    }
}

#[async_trait]
impl Batch for RecordActivities {
    async fn call(&self, jobs: &[Job]) -> Result<(), Status> {
        let activities = jobs
            .iter()
            .map(|job| ActivityRecord::decode(job.payload.as_slice()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let request = RecordActivitiesRequest { activities };
        self.user.clone().record_activities(request).await?;
        Ok(())
    }
}
