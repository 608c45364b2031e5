//! A gateway on a port of its own, and one server that plays every service behind it.

pub(crate) mod counting;
mod services;
mod trust;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::process::Process;
use clap::Parser as _;
use gateway::Config;
use prost_reflect::DescriptorPool;
use reqwest::Method;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Server};

pub(crate) use services::Seen;
pub(crate) use trust::{Issuer, TrustFeed, claims, claims_of};
pub(crate) use web::{Encoding, WebAnswer, frame};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "test";

pub(crate) struct Stack {
    pub(crate) address: SocketAddr,
    pub(crate) issuer: Issuer,
    pub(crate) feed: Arc<TrustFeed>,
    pub(crate) seen: Arc<Seen>,
    process: Process,
    served: JoinHandle<Result<(), gateway::TaskEnded>>,
    down: CancellationToken,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Stack {
    /// A gateway that is ready.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further arguments of the gateway.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        Self::with_user_at(None, arguments).await
    }

    /// With a service in place of the one that plays user.
    pub(crate) async fn with_user_at(user: Option<SocketAddr>, arguments: &[&str]) -> Self {
        Self::of(grimoire_proto::descriptors(), user, arguments).await
    }

    /// With other contracts than those of Grimoire.
    pub(crate) async fn of(
        contracts: &DescriptorPool,
        user: Option<SocketAddr>,
        arguments: &[&str],
    ) -> Self {
        let issuer = Issuer::new("first");
        let feed = Arc::new(TrustFeed::new(&issuer));
        let seen = Arc::new(Seen::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = listener.local_addr().unwrap();
        let router =
            services::add(Server::builder(), &seen).add_service(trust::server(feed.clone()));
        let down = CancellationToken::new();
        let ended = down.clone().cancelled_owned();
        tokio::spawn(async move {
            router
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), ended)
                .await
                .unwrap();
        });

        let user = user.unwrap_or(behind);
        let upstreams =
            format!("auth=http://{behind},user=http://{user},event-consumer=http://{behind}");
        let common = [
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--threads",
            "2",
        ];
        let tokens = [
            "--issuer",
            ISSUER,
            "--audience",
            AUDIENCE,
            "--upstreams",
            &upstreams,
        ];
        let config = Config::parse_from(common.iter().chain(&tokens).chain(arguments));
        let process = Process::start("gateway", &config.process, axum::Router::new())
            .await
            .unwrap();
        let started = gateway::start(&config, contracts, &process).await.unwrap();
        let address = started.address();
        let served = tokio::spawn({
            let process = process.clone();
            async move { started.serve(&process).await }
        });
        let stack = Self {
            address,
            issuer,
            feed,
            seen,
            process,
            served,
            down,
        };
        eventually("trust", || async {
            (stack.process.readiness.missing() == ["started"]).then_some(())
        })
        .await;
        stack.process.started();
        stack
    }

    /// Lets the server that plays every service listen here, too.
    pub(crate) fn serve_at(&self, listener: TcpListener) {
        let router = services::add(Server::builder(), &self.seen);
        let ended = self.down.clone().cancelled_owned();
        tokio::spawn(async move {
            router
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), ended)
                .await
                .unwrap();
        });
    }

    /// Ends the services behind the gateway.
    pub(crate) fn end_services(&self) {
        self.down.cancel();
    }

    pub(crate) fn stop(&self) {
        self.process.stop.cancel();
    }

    /// Waits for the end of the gateway, which is when its last connection has ended.
    pub(crate) async fn ended(&mut self) {
        (&mut self.served).await.unwrap().unwrap();
    }

    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(Method::GET, path, token, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(Method::POST, path, None, Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        let mut headers = Vec::new();
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        self.send_with(method, path, token, &headers, body).await
    }

    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let mut request = client.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// What a metric without labels says.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://{}/metrics", self.process.admin_address);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    }

    /// A native gRPC connection to the gateway.
    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address))
            .unwrap()
            .connect()
            .await
            .unwrap()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.process.stop.cancel();
        self.down.cancel();
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, reason: &str) -> &Self {
        assert_eq!(
            (self.status, self.body["reason"].as_str()),
            (status, Some(reason)),
            "{}",
            self.text
        );
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], u64::from(status));
        assert_eq!(self.body["type"], format!("/problems/{reason}"));
        assert!(
            self.body["title"].is_string() && self.body["detail"].is_string(),
            "{}",
            self.text
        );
        assert!(
            self.body["traceId"]
                .as_str()
                .is_some_and(|id| id.len() == 32),
            "{}",
            self.text
        );
        assert!(
            !self.header("x-request-id").is_empty(),
            "{:?}",
            self.headers
        );
        self
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Calls `probe` until it answers, for at most ten seconds.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let end = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < end,
            "waited in vain for {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A request with this token.
pub(crate) fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// The reason in a gRPC status.
pub(crate) fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt as _;
    status
        .get_error_details()
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}
