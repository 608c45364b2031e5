//! A running service with a database of its own, and a directory in auth's place.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::grpc::{GrpcConfig, serve_on};
use chassis::process::{Environment, Process, ProcessConfig};
use chassis::upstream::{self, Upstream};
use grimoire_proto::auth::v1::directory_service_server::{
    DirectoryService, DirectoryServiceServer,
};
use grimoire_proto::auth::v1::{
    AccountState, DirectoryEntry, LookupAccountsRequest, LookupAccountsResponse,
};
use grimoire_proto::user::v1::activity_service_client::ActivityServiceClient;
use grimoire_proto::user::v1::preferences_service_client::PreferencesServiceClient;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::user_data_service_client::UserDataServiceClient;
use outbox::{Relay, RelayConfig};
use prost::{Message, Name};
use telemetry::TelemetryConfig;
use testkit::Database;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

/// The service; it ends with the test.
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) directory: Directory,
    upstream: Upstream,
    process: Process,
    /// Auth ends with the sender.
    auth: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let database = testkit::database("user", |pool| async move {
            user::MIGRATOR.run(&pool).await?;
            outbox::migrate(&pool).await
        })
        .await;
        let directory = Directory::default();
        let (listener, address) = listen().await;
        let server = Server::builder().add_service(DirectoryServiceServer::new(directory.clone()));
        let (auth_runs, ended) = oneshot::channel::<()>();
        let ended = async {
            let _ = ended.await;
        };
        let auth = tokio::spawn(async move {
            server
                .serve_with_incoming_shutdown(TcpIncoming::from(listener), ended)
                .await
                .unwrap();
        });

        // Nothing is published here: tests look at what waits to be.
        let (_, wake) = Relay::new(RelayConfig {
            database_url: database.url.clone(),
            bootstrap_servers: String::new(),
            source: "grimoire/user",
            topics: user::topics::ALL,
            partitions: 1,
            replication: 1,
            retention: RelayConfig::RETENTION,
            slot_bytes: RelayConfig::SLOT_BYTES,
            failpoint: None,
        });
        let services = user::services(database.pool.clone(), connect("auth", address), wake)
            .await
            .unwrap();
        let (listener, address) = listen().await;
        let process = ProcessConfig {
            environment: Environment::Development,
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            drain_delay: Duration::ZERO,
            telemetry: TelemetryConfig::default(),
        };
        let process = Process::start("user", &process, axum::Router::new())
            .await
            .unwrap();
        let grpc = GrpcConfig {
            listen: address,
            mesh_identities: vec![],
            allow_plaintext: false,
            reflection: None,
        };
        let running = process.clone();
        tokio::spawn(async move { serve_on(listener, running, &grpc, services).await.unwrap() });
        Self {
            database,
            directory,
            upstream: connect("user", address),
            process,
            auth: Some((auth_runs, auth)),
        }
    }

    /// The account of somebody who has registered.
    pub(crate) fn registered(&self) -> Uuid {
        let id = Uuid::now_v7();
        self.directory.add(id, "Ada", "en-GB");
        id
    }

    /// From now on auth does not answer, and has closed its connections.
    pub(crate) async fn lose_auth(&mut self) {
        let (auth_runs, ended) = self.auth.take().unwrap();
        drop(auth_runs);
        ended.await.unwrap();
    }

    pub(crate) fn profiles(&self) -> ProfileServiceClient<Upstream> {
        ProfileServiceClient::new(self.upstream.clone())
    }

    pub(crate) fn preferences(&self) -> PreferencesServiceClient<Upstream> {
        PreferencesServiceClient::new(self.upstream.clone())
    }

    pub(crate) fn activities(&self) -> ActivityServiceClient<Upstream> {
        ActivityServiceClient::new(self.upstream.clone())
    }

    pub(crate) fn user_data(&self) -> UserDataServiceClient<Upstream> {
        UserDataServiceClient::new(self.upstream.clone())
    }

    /// The events that wait to be published, in their order.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let rows: Vec<(String, String, i64, String, Vec<u8>)> = sqlx::query_as(
            "select topic, key, version, event_type, payload from outbox.entries order by seq",
        )
        .fetch_all(&self.database.pool)
        .await
        .unwrap();
        rows.into_iter()
            .map(|(topic, key, version, event_type, payload)| Event {
                topic,
                key,
                version,
                event_type,
                payload,
            })
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.process.stop.cancel();
    }
}

/// A row of the outbox.
pub(crate) struct Event {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) version: i64,
    event_type: String,
    payload: Vec<u8>,
}

impl Event {
    pub(crate) fn message<M: Message + Name + Default>(&self) -> M {
        assert_eq!(self.event_type, M::full_name());
        M::decode(self.payload.as_slice()).unwrap()
    }
}

/// What auth knows.
#[derive(Clone, Default)]
pub(crate) struct Directory {
    entries: Arc<Mutex<HashMap<String, DirectoryEntry>>>,
}

impl Directory {
    pub(crate) fn add(&self, id: Uuid, display_name: &str, locale: &str) {
        let entry = DirectoryEntry {
            account: id.to_string(),
            state: AccountState::Active.into(),
            display_name: display_name.to_owned(),
            locale: locale.to_owned(),
        };
        self.entries.lock().unwrap().insert(id.to_string(), entry);
    }
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    async fn lookup_accounts(
        &self,
        request: Request<LookupAccountsRequest>,
    ) -> Result<Response<LookupAccountsResponse>, Status> {
        let known = self.entries.lock().unwrap();
        let entries = request
            .get_ref()
            .accounts
            .iter()
            .filter_map(|id| known.get(id).cloned())
            .collect();
        Ok(Response::new(LookupAccountsResponse { entries }))
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect(name: &'static str, address: SocketAddr) -> Upstream {
    upstream::connect(name, &format!("http://{address}").parse().unwrap())
}

/// A call of somebody who is signed in.
pub(crate) fn by<T>(account: Uuid, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("grimoire-subject", account.to_string().parse().unwrap());
    request
}

/// A call of an administrator.
pub(crate) fn by_admin<T>(message: T) -> Request<T> {
    let mut request = by(Uuid::now_v7(), message);
    request
        .metadata_mut()
        .insert("grimoire-roles", "admin".parse().unwrap());
    request
}

/// Why a call failed: its code, the reason, and the fields that are at fault.
pub(crate) fn failure<T>(answer: Result<Response<T>, Status>) -> (Code, String, Vec<String>) {
    let Err(status) = answer else {
        panic!("the call was to fail")
    };
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default();
    (
        status.code(),
        reason,
        violations
            .into_iter()
            .map(|violation| violation.field)
            .collect(),
    )
}

/// What [`failure`] gives for a code and reason without fields.
pub(crate) fn plain(code: Code, reason: &str) -> (Code, String, Vec<String>) {
    (code, reason.to_owned(), vec![])
}

/// What [`failure`] gives for invalid fields.
pub(crate) fn invalid(fields: &[&str]) -> (Code, String, Vec<String>) {
    (
        Code::InvalidArgument,
        "INVALID_FIELD".to_owned(),
        fields.iter().map(|&field| field.to_owned()).collect(),
    )
}
