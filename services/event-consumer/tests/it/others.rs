//! What stands in the place of auth and user, which are deployables of their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use grimoire_proto::auth::v1::erasure_service_server::ErasureService;
use grimoire_proto::auth::v1::notification_service_server::NotificationService;
use grimoire_proto::auth::v1::{
    GetNotificationRequest, GetNotificationResponse, RecordReceiptRequest, RecordReceiptResponse,
};
use grimoire_proto::user::v1::user_data_service_server::UserDataService;
use grimoire_proto::user::v1::{
    ActivityRecord, EraseUserRequest, EraseUserResponse, ExportUserRequest, ExportUserResponse,
    ProvisionUsersRequest, ProvisionUsersResponse, RecordActivitiesRequest,
    RecordActivitiesResponse,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

/// Auth and user, as far as events lead to them.
#[derive(Clone, Default)]
pub(crate) struct Others(Arc<State>);

#[derive(Default)]
struct State {
    notifications: Mutex<HashMap<String, Result<GetNotificationResponse, Status>>>,
    provisioned: Mutex<Vec<String>>,
    activities: Mutex<Vec<ActivityRecord>>,
    erased: Mutex<Vec<String>>,
    /// Accounts and services.
    receipts: Mutex<Vec<(String, String)>>,
    user_is_away: AtomicBool,
    auth_takes_no_receipts: AtomicBool,
    /// An activity of this account is no activity to user, and its profile cannot be made.
    refused: Mutex<Option<String>>,
}

impl Others {
    pub(crate) fn notify(&self, event: Uuid, answer: Result<GetNotificationResponse, Status>) {
        self.0
            .notifications
            .lock()
            .unwrap()
            .insert(event.to_string(), answer);
    }

    pub(crate) fn user_is_away(&self, away: bool) {
        self.0.user_is_away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn auth_takes_no_receipts(&self, none: bool) {
        self.0.auth_takes_no_receipts.store(none, Ordering::SeqCst);
    }

    /// Whether user was told to erase `account`.
    pub(crate) fn erased(&self, account: Uuid) -> bool {
        let erased = self.0.erased.lock().unwrap();
        erased.contains(&account.to_string())
    }

    /// The services whose receipts for `account` auth has, sorted.
    pub(crate) fn receipts(&self, account: Uuid) -> Vec<String> {
        let receipts = self.0.receipts.lock().unwrap();
        let mut services: Vec<String> = receipts
            .iter()
            .filter(|(of, _)| *of == account.to_string())
            .map(|(_, service)| service.clone())
            .collect();
        services.sort();
        services.dedup();
        services
    }

    pub(crate) fn refuse_all_of(&self, account: Uuid) {
        *self.0.refused.lock().unwrap() = Some(account.to_string());
    }

    /// How often the profile of `account` was asked for.
    pub(crate) fn provisioned(&self, account: Uuid) -> usize {
        self.0
            .provisioned
            .lock()
            .unwrap()
            .iter()
            .filter(|id| **id == account.to_string())
            .count()
    }

    /// The activities of `account`, as often as they came.
    pub(crate) fn activities(&self, account: Uuid) -> Vec<ActivityRecord> {
        let activities = self.0.activities.lock().unwrap();
        activities
            .iter()
            .filter(|activity| activity.account == account.to_string())
            .cloned()
            .collect()
    }

    fn user(&self) -> Result<(), Status> {
        match self.0.user_is_away.load(Ordering::SeqCst) {
            true => Err(Status::unavailable("user is away")),
            false => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl NotificationService for Others {
    async fn get_notification(
        &self,
        request: Request<GetNotificationRequest>,
    ) -> Result<Response<GetNotificationResponse>, Status> {
        let answer = self
            .0
            .notifications
            .lock()
            .unwrap()
            .get(&request.get_ref().event)
            .cloned();
        answer
            .unwrap_or_else(|| Err(Status::not_found("the event leads to no mail")))
            .map(Response::new)
    }
}

#[tonic::async_trait]
impl UserDataService for Others {
    async fn provision_users(
        &self,
        request: Request<ProvisionUsersRequest>,
    ) -> Result<Response<ProvisionUsersResponse>, Status> {
        self.user()?;
        let accounts = request.into_inner().accounts;
        let refused = self.0.refused.lock().unwrap().clone();
        if accounts
            .iter()
            .any(|account| Some(account) == refused.as_ref())
        {
            return Err(Status::internal("one of them cannot be made"));
        }
        self.0.provisioned.lock().unwrap().extend(accounts);
        Ok(Response::new(ProvisionUsersResponse {}))
    }

    async fn record_activities(
        &self,
        request: Request<RecordActivitiesRequest>,
    ) -> Result<Response<RecordActivitiesResponse>, Status> {
        self.user()?;
        let activities = request.into_inner().activities;
        let refused = self.0.refused.lock().unwrap().clone();
        if activities
            .iter()
            .any(|activity| Some(&activity.account) == refused.as_ref())
        {
            return Err(Status::invalid_argument("one of them is no activity"));
        }
        self.0.activities.lock().unwrap().extend(activities);
        Ok(Response::new(RecordActivitiesResponse {}))
    }

    async fn erase_user(
        &self,
        request: Request<EraseUserRequest>,
    ) -> Result<Response<EraseUserResponse>, Status> {
        self.user()?;
        self.0
            .erased
            .lock()
            .unwrap()
            .push(request.into_inner().account);
        Ok(Response::new(EraseUserResponse {}))
    }

    type ExportUserStream = futures::stream::Empty<Result<ExportUserResponse, Status>>;

    async fn export_user(
        &self,
        _request: Request<ExportUserRequest>,
    ) -> Result<Response<Self::ExportUserStream>, Status> {
        Err(Status::unimplemented("event-consumer exports nothing"))
    }
}

#[tonic::async_trait]
impl ErasureService for Others {
    async fn record_receipt(
        &self,
        request: Request<RecordReceiptRequest>,
    ) -> Result<Response<RecordReceiptResponse>, Status> {
        if self.0.auth_takes_no_receipts.load(Ordering::SeqCst) {
            return Err(Status::unavailable("auth is away"));
        }
        let RecordReceiptRequest { account, service } = request.into_inner();
        self.0.receipts.lock().unwrap().push((account, service));
        Ok(Response::new(RecordReceiptResponse {}))
    }
}
