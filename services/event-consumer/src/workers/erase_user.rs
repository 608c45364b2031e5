//! What user keeps of a deleted account: UserDataService.EraseUser, and the receipt of it.

use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use grimoire_proto::user::v1::EraseUserRequest;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use inbox::jobs::{Job, Outcome, Worker};
use tonic::{Code, async_trait};

use crate::workers::{give_receipt, later};

/// Kept in the database with each job.
pub(crate) const TARGET: &str = "erase-user";

pub(crate) struct EraseUser {
    pub(crate) auth: ErasureServiceClient<chassis::upstream::Upstream>,
    pub(crate) user: UserDataServiceClient<chassis::upstream::Upstream>,
}

#[async_trait]
impl Worker for EraseUser {
    fn target(&self) -> &'static str {
        TARGET
    }

    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(self.erase(job).await);
        }
        outcomes
    }
}

impl EraseUser {
    async fn erase(&self, job: &Job) -> Outcome {
        let request = EraseUserRequest {
            account: job.key.clone(),
        };
        match self.user.clone().erase_user(request).await {
            Ok(_) => give_receipt(&self.auth, &job.key, "user").await,
            Err(status) if status.code() == Code::InvalidArgument => {
                Outcome::Failed(format!("user: {}", status.message()))
            }
            Err(status) => later("user", &status),
        }
    }
}
