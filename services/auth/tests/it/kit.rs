//! A running auth, and the few steps that most tests begin with.

use std::time::Duration;

use auth::{IdentityConfig, PasswordConfig};
use chassis::grpc::GrpcConfig;
use chassis::process::{Environment, Process, ProcessConfig};
use chassis::upstream::{self, Upstream};
use grimoire_proto::auth::v1::account_service_client::AccountServiceClient;
use grimoire_proto::auth::v1::admin_service_client::AdminServiceClient;
use grimoire_proto::auth::v1::directory_service_client::DirectoryServiceClient;
use grimoire_proto::auth::v1::erasure_service_client::ErasureServiceClient;
use grimoire_proto::auth::v1::notification_service_client::NotificationServiceClient;
use grimoire_proto::auth::v1::session_service_client::SessionServiceClient;
use grimoire_proto::auth::v1::trust_service_client::TrustServiceClient;
use grimoire_proto::auth::v1::*;
use outbox::{Relay, RelayConfig, Wake};
use sqlx::PgPool;
use sqlx::migrate::MigrateError;
use testkit::Database;
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "seven lazy herons paint";

/// Dropped: the server stops, then the database goes.
pub(crate) struct Auth {
    pub(crate) accounts: AccountServiceClient<Channel>,
    pub(crate) sessions: SessionServiceClient<Channel>,
    pub(crate) admin: AdminServiceClient<Channel>,
    pub(crate) directory: DirectoryServiceClient<Channel>,
    pub(crate) notifications: NotificationServiceClient<Channel>,
    pub(crate) erasures: ErasureServiceClient<Channel>,
    pub(crate) trust: TrustServiceClient<Channel>,
    pub(crate) pool: PgPool,
    pub(crate) stop: DropGuard,
    _database: Option<Database>,
}

/// An event in the outbox.
pub(crate) struct Event {
    pub(crate) id: Uuid,
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) version: i64,
    /// Without the package.
    pub(crate) kind: String,
    pub(crate) payload: Vec<u8>,
}

pub(crate) async fn database() -> Database {
    testkit::database("auth", |pool: PgPool| async move {
        for (_, migrator) in auth::MIGRATIONS {
            migrator.run(&pool).await?;
        }
        Ok::<(), MigrateError>(())
    })
    .await
}

/// One key for everything, by its first byte.
pub(crate) fn key(byte: u8) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}

pub(crate) fn cheap_passwords() -> PasswordConfig {
    PasswordConfig {
        password_memory_kib: 1024,
        password_passes: 1,
        password_lanes: 1,
        password_pool_mib: 64,
        password_queue: 64,
    }
}

/// What services wake the relay by. The relay itself never runs: events stay in the outbox.
pub(crate) fn unheard() -> Wake {
    let (_, wake) = Relay::new(RelayConfig {
        database_url: String::new(),
        bootstrap_servers: String::new(),
        source: "grimoire/auth",
        topics: auth::topics::ALL,
        partitions: 1,
        replication: 1,
        retention: RelayConfig::RETENTION,
        slot_bytes: RelayConfig::SLOT_BYTES,
        failpoint: None,
    });
    wake
}

pub(crate) fn identity() -> IdentityConfig {
    IdentityConfig {
        key_encryption_key: key(1).parse().unwrap(),
        refresh_token_key: key(2).parse().unwrap(),
        mail_token_key: key(3).parse().unwrap(),
        address_key: key(4).parse().unwrap(),
        issuer: "http://localhost:5000".to_owned(),
        audience: "grimoire".to_owned(),
        access_token_lifetime: 300,
        signing_key_lifetime: 2_592_000,
        signing_key_published: 600,
        session_idle_lifetime: Duration::from_secs(30 * 86_400),
        session_lifetime: Duration::from_secs(180 * 86_400),
        passwords: cheap_passwords(),
    }
}

/// user, where nobody listens.
pub(crate) fn nobody() -> Upstream {
    upstream::connect("user", &"http://127.0.0.1:1".parse().unwrap())
}

impl Auth {
    pub(crate) async fn start() -> Self {
        Self::beside(nobody()).await
    }

    /// One that asks `user`.
    pub(crate) async fn beside(user: Upstream) -> Self {
        let database = database().await;
        let mut auth = Self::replica(database.pool.clone(), user, identity()).await;
        auth._database = Some(database);
        auth
    }

    /// One more replica over a database.
    pub(crate) async fn over(pool: PgPool, identity: IdentityConfig) -> Self {
        Self::replica(pool, nobody(), identity).await
    }

    async fn replica(pool: PgPool, user: Upstream, identity: IdentityConfig) -> Self {
        let process = ProcessConfig {
            environment: Environment::Development,
            admin_listen: "127.0.0.1:0".parse().unwrap(),
            drain_delay: Duration::ZERO,
            telemetry: Default::default(),
        };
        let process = Process::start("auth", &process, Default::default())
            .await
            .unwrap();
        let stop = process.stop.clone().drop_guard();
        let services = auth::services_over(
            pool.clone(),
            unheard(),
            user,
            &identity,
            process.stop.clone(),
        )
        .await
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = GrpcConfig {
            listen: address,
            mesh_identities: Vec::new(),
            allow_plaintext: false,
            reflection: Some(false),
        };
        tokio::spawn(async move {
            chassis::grpc::serve_on(listener, process, &config, services)
                .await
                .unwrap()
        });

        let channel = Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            accounts: AccountServiceClient::new(channel.clone()),
            sessions: SessionServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel.clone()),
            directory: DirectoryServiceClient::new(channel.clone()),
            notifications: NotificationServiceClient::new(channel.clone()),
            erasures: ErasureServiceClient::new(channel.clone()),
            trust: TrustServiceClient::new(channel),
            pool,
            stop,
            _database: None,
        }
    }

    pub(crate) async fn register(&self, email: &str) -> Result<RegisterResponse, Status> {
        let request = RegisterRequest {
            email: email.to_owned(),
            display_name: "Ada".to_owned(),
            locale: "en".to_owned(),
        };
        self.accounts
            .clone()
            .register(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn notification(
        &self,
        event: Uuid,
    ) -> Result<GetNotificationResponse, Status> {
        let request = GetNotificationRequest {
            event: event.to_string(),
        };
        self.notifications
            .clone()
            .get_notification(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Registers, and takes the token out of the mail.
    pub(crate) async fn mail_token(&self, email: &str) -> String {
        self.register(email).await.unwrap();
        let event = self.events().await.pop().unwrap();
        self.notification(event.id).await.unwrap().token
    }

    pub(crate) async fn complete(
        &self,
        token: &str,
    ) -> Result<CompleteRegistrationResponse, Status> {
        let request = CompleteRegistrationRequest {
            token: token.to_owned(),
            password: PASSWORD.to_owned(),
        };
        self.accounts
            .clone()
            .complete_registration(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// A new account, signed in.
    pub(crate) async fn signed_in(&self, email: &str) -> (Account, Tokens) {
        let token = self.mail_token(email).await;
        let made = self.complete(&token).await.unwrap();
        (made.account.unwrap(), made.tokens.unwrap())
    }

    /// A new account with the role `admin`, signed in.
    pub(crate) async fn administrator(&self, email: &str) -> (Account, Tokens) {
        let made = self.signed_in(email).await;
        auth::grant_role(&self.pool, email, "admin").await.unwrap();
        made
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Result<LoginResponse, Status> {
        self.login_from(email, password, "203.0.113.9", "herons/1.0")
            .await
    }

    pub(crate) async fn login_from(
        &self,
        email: &str,
        password: &str,
        address: &str,
        user_agent: &str,
    ) -> Result<LoginResponse, Status> {
        let mut request = Request::new(LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
        });
        set(&mut request, "grimoire-client-address", address);
        set(&mut request, "grimoire-client-user-agent", user_agent);
        self.sessions
            .clone()
            .login(request)
            .await
            .map(tonic::Response::into_inner)
    }

    pub(crate) async fn refresh(&self, token: &str) -> Result<Tokens, Status> {
        let request = RefreshTokensRequest {
            refresh_token: token.to_owned(),
        };
        let answer = self.sessions.clone().refresh_tokens(request).await?;
        Ok(answer.into_inner().tokens.unwrap())
    }

    pub(crate) async fn logout(
        &self,
        session: Option<&str>,
        refresh_token: &str,
    ) -> Result<LogoutResponse, Status> {
        let mut request = Request::new(LogoutRequest {
            refresh_token: refresh_token.to_owned(),
        });
        if let Some(session) = session {
            set(&mut request, "grimoire-session", session);
        }
        self.sessions
            .clone()
            .logout(request)
            .await
            .map(tonic::Response::into_inner)
    }

    /// Everything in the outbox, as it was written.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let rows: Vec<(Uuid, String, String, i64, String, Vec<u8>)> =
            sqlx::query_as("select event_id, topic, key, version, event_type, payload from outbox.entries order by seq")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(id, topic, key, version, kind, payload)| Event {
                id,
                topic,
                key,
                version,
                kind: kind.rsplit('.').next().unwrap().to_owned(),
                payload,
            })
            .collect()
    }

    /// Kind and version of the events of an account.
    pub(crate) async fn history(&self, account: &str) -> Vec<(String, i64)> {
        let events = self.events().await.into_iter();
        events
            .filter(|event| event.key == account)
            .map(|event| (event.kind, event.version))
            .collect()
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    /// Rows of every table that a call may write to. A failed call that writes more for one address than for another gives it away.
    pub(crate) async fn rows(&self) -> i64 {
        self.count(
            "select (select count(*) from accounts) + (select count(*) from address_state)
                  + (select count(*) from registrations) + (select count(*) from sessions)
                  + (select count(*) from notifications) + (select count(*) from outbox.entries)
                  + (select count(*) from failed_logins) + (select count(*) from email_changes)",
        )
        .await
    }
}

pub(crate) fn set<T>(request: &mut Request<T>, name: &'static str, value: &str) {
    request.metadata_mut().insert(name, value.parse().unwrap());
}

/// A request on behalf of an account.
pub(crate) fn on_behalf_of<T>(message: T, account: &str) -> Request<T> {
    let mut request = Request::new(message);
    set(&mut request, "grimoire-subject", account);
    request
}

/// A request by an administrator, as the gateway says so.
pub(crate) fn as_admin<T>(message: T, account: &Account) -> Request<T> {
    let mut request = on_behalf_of(message, &account.id);
    set(&mut request, "grimoire-roles", "admin");
    request
}

pub(crate) fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    answer.unwrap_err().get_details_error_info().unwrap().reason
}

/// The claims of an access token, unverified.
pub(crate) fn claims(tokens: &Tokens) -> serde_json::Value {
    jsonwebtoken::dangerous::insecure_decode(&tokens.access_token)
        .unwrap()
        .claims
}

pub(crate) fn session_of(tokens: &Tokens) -> String {
    claims(tokens)["sid"].as_str().unwrap().to_owned()
}
