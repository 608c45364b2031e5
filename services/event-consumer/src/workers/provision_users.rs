//! Profiles of new accounts: UserDataService.ProvisionUsers.

use grimoire_proto::user::v1::ProvisionUsersRequest;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use inbox::jobs::{Job, Outcome, Worker};
use tonic::{Status, async_trait};

use crate::workers::in_parts::{Batch, call_in_parts};

/// Kept in the database with each job.
pub(crate) const TARGET: &str = "provision-users";

pub(crate) struct ProvisionUsers {
    pub(crate) user: UserDataServiceClient<chassis::upstream::Upstream>,
}

#[async_trait]
impl Worker for ProvisionUsers {
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
impl Batch for ProvisionUsers {
    async fn call(&self, jobs: &[Job]) -> Result<(), Status> {
        let request = ProvisionUsersRequest {
            accounts: jobs.iter().map(|job| job.key.clone()).collect(),
        };
        self.user.clone().provision_users(request).await?;
        Ok(())
    }
}
