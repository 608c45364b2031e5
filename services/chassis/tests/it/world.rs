use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chassis::caller::Caller;
use chassis::grpc::{GrpcConfig, GrpcError, Services, serve_on};
use chassis::process::{Environment, Process, ProcessConfig};
use chassis::upstream::{self, Upstream};
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use grimoire_proto::user::v1::*;
use telemetry::TelemetryConfig;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt as _;

pub(crate) const ALICE: &str = "018f0000-0000-7000-8000-00000000000a";
pub(crate) const GATEWAY: &str = "gateway.grimoire.serviceaccount.identity.linkerd.cluster.local";

/// A process with one service, which ends with the test.
pub(crate) struct World {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) served: JoinHandle<Result<(), GrpcError>>,
    /// Told when a call has begun that never ends.
    pub(crate) begun: Arc<Notify>,
}

/// Serves [`Profiles`] with these identities of peers.
pub(crate) async fn world(identities: &[&str]) -> World {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let process = Process::start("user", &process_config(), axum::Router::new())
        .await
        .unwrap();
    let config = GrpcConfig {
        listen: address,
        mesh_identities: identities.iter().map(ToString::to_string).collect(),
        allow_plaintext: false,
        reflection: None,
    };
    let begun = Arc::new(Notify::new());
    let profiles = Profiles {
        itself: upstream::connect("user", &uri(address)),
        begun: begun.clone(),
    };
    let services = Services::new().with(ProfileServiceServer::new(profiles));
    let running = process.clone();
    let served = tokio::spawn(async move { serve_on(listener, running, &config, services).await });
    World {
        process,
        address,
        served,
        begun,
    }
}

impl World {
    pub(crate) fn client(&self) -> ProfileServiceClient<Upstream> {
        ProfileServiceClient::new(upstream::connect("user", &uri(self.address)))
    }
}

pub(crate) fn process_config() -> ProcessConfig {
    ProcessConfig {
        environment: Environment::Development,
        admin_listen: "127.0.0.1:0".parse().unwrap(),
        drain_delay: Duration::ZERO,
        telemetry: TelemetryConfig::default(),
    }
}

pub(crate) fn uri(address: SocketAddr) -> http::Uri {
    format!("http://{address}").parse().unwrap()
}

/// A request for somebody's profile, with metadata.
pub(crate) fn get(user: &str, metadata: &[(&'static str, &str)]) -> Request<GetProfileRequest> {
    let mut request = Request::new(GetProfileRequest {
        user: user.to_owned(),
    });
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

pub(crate) fn reason(status: &Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// Profiles that hold nothing but what a test asks to see; `bio` of the answer says.
struct Profiles {
    itself: Upstream,
    begun: Arc<Notify>,
}

#[tonic::async_trait]
impl ProfileService for Profiles {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<GetProfileResponse>, Status> {
        let bio = match request.get_ref().user.as_str() {
            "panic" => panic!("the handler of this test panics"),
            "never" => {
                self.begun.notify_one();
                std::future::pending().await
            }
            // Calls itself: what does the second call get from the first?
            "again" => {
                let second = get("timeout", &[("grimoire-subject", ALICE)]);
                let answer = ProfileServiceClient::new(self.itself.clone())
                    .get_profile(second)
                    .await?;
                answer.into_inner().profile.unwrap_or_default().bio
            }
            "timeout" => text(&request, "grpc-timeout"),
            "traceparent" => text(&request, "traceparent"),
            user => Caller::of(&request).own(user)?.to_string(),
        };
        let profile = Profile {
            bio,
            ..Profile::default()
        };
        Ok(Response::new(GetProfileResponse {
            profile: Some(profile),
        }))
    }

    async fn update_profile(
        &self,
        _: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }

    async fn search_profiles(
        &self,
        _: Request<SearchProfilesRequest>,
    ) -> Result<Response<SearchProfilesResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

fn text(request: &Request<GetProfileRequest>, name: &str) -> String {
    request
        .metadata()
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned()
}
