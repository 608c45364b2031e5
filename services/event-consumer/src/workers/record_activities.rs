//! Activities: UserDataService.RecordActivities.

use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use grimoire_proto::user::v1::{ActivityRecord, RecordActivitiesRequest};
use inbox::jobs::{Job, Outcome, Worker};
use prost::Message as _;
use tonic::{Code, Status, async_trait};

use crate::workers::later;

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
        let decoded: Result<Vec<_>, _> = jobs
            .iter()
            .map(|job| ActivityRecord::decode(job.payload.as_slice()))
            .collect();
        if let Ok(activities) = decoded {
            match self.record(activities).await {
                Ok(()) => return vec![Outcome::Done; jobs.len()],
                Err(status) if status.code() != Code::InvalidArgument => {
                    return vec![later("user", &status); jobs.len()];
                }
                Err(_) => {}
            }
        }
        // One of them is at fault: each on its own, so that the others do not wait for it.
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(self.record_one(job).await);
        }
        outcomes
    }
}

impl RecordActivities {
    async fn record_one(&self, job: &Job) -> Outcome {
        let activity = match ActivityRecord::decode(job.payload.as_slice()) {
            Ok(activity) => activity,
            Err(error) => return Outcome::Failed(error.to_string()),
        };
        match self.record(vec![activity]).await {
            Ok(()) => Outcome::Done,
            Err(status) if status.code() == Code::InvalidArgument => {
                Outcome::Failed(format!("user: {}", status.message()))
            }
            Err(status) => later("user", &status),
        }
    }

    async fn record(&self, activities: Vec<ActivityRecord>) -> Result<(), Status> {
        self.user
            .clone()
            .record_activities(RecordActivitiesRequest { activities })
            .await?;
        Ok(())
    }
}
