//! What this service keeps of a deleted account: its audit records get a pseudonym, and auth the receipt of it.

use std::time::Duration;

use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use inbox::jobs::{Job, Outcome, Worker};
use sqlx::PgPool;
use tonic::async_trait;

use crate::workers::give_receipt;
use crate::{NAME, audit_log};

/// Kept in the database with each job.
pub(crate) const TARGET: &str = "erase-audit";

pub(crate) struct EraseAudit {
    pub(crate) auth: ErasureServiceClient<chassis::upstream::Upstream>,
    pub(crate) pool: PgPool,
}

#[async_trait]
impl Worker for EraseAudit {
    fn target(&self) -> &'static str {
        TARGET
    }

    /// Enough for a hundred thousand records. Of more, the next try does the rest.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn work(&self, jobs: &[Job]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(self.erase(job).await);
        }
        outcomes
    }
}

impl EraseAudit {
    async fn erase(&self, job: &Job) -> Outcome {
        let Ok(account) = job.key.parse() else {
            return Outcome::Failed(format!("{} is no account id", job.key));
        };
        match audit_log::erase(&self.pool, account).await {
            Ok(()) => give_receipt(&self.auth, &job.key, NAME).await,
            Err(error) => Outcome::Retry(format!("the database: {error}")),
        }
    }
}
