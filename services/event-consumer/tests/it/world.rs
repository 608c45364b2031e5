//! The service, running: with a database and consumer groups of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chassis::grpc::{GrpcConfig, serve_on};
use chassis::process::{Environment, Process, ProcessConfig};
use chassis::upstream::{self, Upstream};
use event_consumer::config::MailConfig;
use grimoire_proto::audit::v1::audit_service_client::AuditServiceClient;
use grimoire_proto::auth::v1::erasure_service_server::ErasureServiceServer;
use grimoire_proto::auth::v1::notification_service_server::NotificationServiceServer;
use grimoire_proto::delivery::v1::delivery_service_client::DeliveryServiceClient;
use grimoire_proto::user::v1::user_data_service_server::UserDataServiceServer;
use inbox::ConsumerConfig;
use telemetry::TelemetryConfig;
use testkit::Database;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::kafka;
use crate::others::Others;
use crate::smtp::Smtp;

/// The service; it ends with the test.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) others: Others,
    pub(crate) smtp: Smtp,
    process: Process,
    upstream: Upstream,
}

impl World {
    /// It answers, and consumes nothing yet.
    pub(crate) async fn start() -> Self {
        let database = testkit::database("events", |pool| async move {
            event_consumer::MIGRATOR.run(&pool).await?;
            inbox::migrate(&pool).await?;
            outbox::migrate(&pool).await
        })
        .await;
        let process = ProcessConfig {
            environment: Environment::Development,
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            drain_delay: Duration::ZERO,
            telemetry: TelemetryConfig::default(),
        };
        let process = Process::start("event-consumer", &process, axum::Router::new())
            .await
            .unwrap();
        let (listener, address) = listen().await;
        let grpc = GrpcConfig {
            listen: address,
            mesh_identities: vec![],
            allow_plaintext: false,
            reflection: None,
        };
        let (running, services) = (
            process.clone(),
            event_consumer::services(database.pool.clone()),
        );
        tokio::spawn(async move { serve_on(listener, running, &grpc, services).await.unwrap() });
        let (others, smtp) = (Others::default(), Smtp::start().await);
        Self {
            database,
            others,
            smtp,
            process,
            upstream: connect("event-consumer", address),
        }
    }

    /// It answers and consumes.
    pub(crate) async fn consuming() -> Self {
        let world = Self::start().await;
        kafka::make_topics().await;
        let (listener, address) = listen().await;
        let server = Server::builder()
            .add_service(NotificationServiceServer::new(world.others.clone()))
            .add_service(ErasureServiceServer::new(world.others.clone()))
            .add_service(UserDataServiceServer::new(world.others.clone()));
        tokio::spawn(async move {
            server
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap()
        });

        let mail = MailConfig {
            smtp_url: Some(world.smtp.url().parse().unwrap()),
            mail_dir: None,
            mail_from: "Grimoire <hello@example.com>".parse().unwrap(),
            app_url: None,
            api_url: "http://localhost:5000".into(),
        };
        let config = ConsumerConfig {
            retry_tiers: vec![Duration::from_millis(10)],
            retry_poll: Duration::from_millis(10),
            job_back_off: (Duration::from_millis(10), Duration::from_millis(100)),
            ..ConsumerConfig::new(
                testkit::kafka::bootstrap(),
                testkit::kafka::unique("event-consumer"),
                world.database.pool.clone(),
            )
        };
        let consumer = event_consumer::consumer(
            config,
            connect("auth", address),
            connect("user", address),
            &mail,
        )
        .unwrap();
        tokio::spawn(consumer.run(world.process.stop.clone()));
        world
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<Upstream> {
        AuditServiceClient::new(self.upstream.clone())
    }

    pub(crate) fn delivery(&self) -> DeliveryServiceClient<Upstream> {
        DeliveryServiceClient::new(self.upstream.clone())
    }

    /// How many jobs of `event` are not done yet.
    pub(crate) async fn jobs(&self, event: Uuid) -> i64 {
        sqlx::query_scalar("select count(*) from inbox.jobs where event_id = $1")
            .bind(event)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    /// Whether every subscriber has settled all events of `key` up to `version`.
    pub(crate) async fn settled(&self, key: impl ToString, version: i64, subscribers: i64) -> bool {
        let settled: i64 =
            sqlx::query_scalar("select count(*) from inbox.versions where key = $1 and last >= $2")
                .bind(key.to_string())
                .bind(version)
                .fetch_one(&self.database.pool)
                .await
                .unwrap();
        settled >= subscribers
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.process.stop.cancel();
    }
}

/// What `look` finds, as soon as it finds it: effects come after the fact.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{what} did not come within 30 s"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A call of an administrator.
pub(crate) fn by_admin<T>(message: T) -> Request<T> {
    let mut request = by_somebody(message);
    request
        .metadata_mut()
        .insert("grimoire-roles", "admin".parse().unwrap());
    request
}

/// A call of somebody who is signed in.
pub(crate) fn by_somebody<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(
        "grimoire-subject",
        Uuid::now_v7().to_string().parse().unwrap(),
    );
    request
}

/// The account that makes a call.
pub(crate) fn subject<T>(request: &Request<T>) -> String {
    let subject = request.metadata().get("grimoire-subject").unwrap();
    subject.to_str().unwrap().to_owned()
}

/// Why a call failed: its code, the reason, and the field that is at fault.
pub(crate) fn failure<T>(answer: Result<Response<T>, Status>) -> (Code, String, String) {
    let Err(status) = answer else {
        panic!("the call was to fail")
    };
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    let field = status
        .get_details_bad_request()
        .and_then(|bad| Some(bad.field_violations.first()?.field.clone()));
    (status.code(), reason, field.unwrap_or_default())
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect(name: &'static str, address: SocketAddr) -> Upstream {
    upstream::connect(name, &format!("http://{address}").parse().unwrap())
}
