//! The service of this process; each call is one function in a file of its name.

mod list_audit_records;

use grimoire_proto::audit::v1::audit_service_server::AuditService;
use grimoire_proto::audit::v1::{ListAuditRecordsRequest, ListAuditRecordsResponse};
use sqlx::PgPool;
use tonic::{Request, Response, Status, async_trait};

pub(crate) struct AuditApi {
    pub(crate) pool: PgPool,
}

#[async_trait]
impl AuditService for AuditApi {
    async fn list_audit_records(
        &self,
        request: Request<ListAuditRecordsRequest>,
    ) -> Result<Response<ListAuditRecordsResponse>, Status> {
        let answer =
            list_audit_records::list_audit_records(&self.pool, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}
