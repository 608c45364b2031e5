//! ErasureService.RecordReceipt.

use grimoire_proto::auth::v1::{RecordReceiptRequest, RecordReceiptResponse};
use uuid::Uuid;

use super::ErasureApi;
use crate::deletion::{self, ERASING_SERVICES, MAIL, OWN};
use crate::error::{Error, Violation};

/// Succeeds again and again.
pub(super) async fn record_receipt(
    api: &ErasureApi,
    request: &RecordReceiptRequest,
) -> Result<RecordReceiptResponse, Error> {
    let account = Uuid::try_parse(&request.account)
        .map_err(|_| Violation::new("account", "is not an account id"))?;
    let service = request.service.as_str();

    let mut transaction = api.pool.begin().await?;
    let deleted = match service {
        MAIL => deletion::wipe(&mut transaction, &api.pseudonyms, account).await?,
        // Its own part it knows itself.
        OWN => return Err(no_service().into()),
        _ if ERASING_SERVICES.contains(&service) => {
            deletion::receive(&mut transaction, account, service).await?
        }
        _ => return Err(no_service().into()),
    };
    if !deleted {
        return Err(Error::NotFound("deleted account"));
    }
    transaction.commit().await?;

    api.relay.committed();
    Ok(RecordReceiptResponse {})
}

fn no_service() -> Violation {
    Violation::new("service", "is not one that erases, such as user")
}
