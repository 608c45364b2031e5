//! In place of user: it answers profiles at once, so that neither user nor PostgreSQL takes the gateway's time.

use std::net::SocketAddr;
use std::thread;

use anyhow::Result;
use grimoire_proto::user::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use grimoire_proto::user::v1::{
    GetProfileRequest, GetProfileResponse, Profile, SearchProfilesRequest, SearchProfilesResponse,
    UpdateProfileRequest, UpdateProfileResponse,
};
use prost_types::Timestamp;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

struct Profiles;

/// Serves as long as this process runs.
pub(super) async fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?.into_std()?;
    let address = listener.local_addr()?;
    // A thread of its own, as a process would have.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let served = runtime.block_on(async {
            let incoming = TcpIncoming::from(TcpListener::from_std(listener)?);
            let incoming = incoming.with_nodelay(Some(true));
            let server = Server::builder().add_service(ProfileServiceServer::new(Profiles));
            anyhow::Ok(server.serve_with_incoming(incoming).await?)
        });
        served.inspect_err(|error| eprintln!("the stand-in for user has failed: {error:#}"))
    });
    Ok(address)
}

#[tonic::async_trait]
impl ProfileService for Profiles {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<GetProfileResponse>, Status> {
        let subject = request.metadata().get("grimoire-subject");
        let subject = subject.and_then(|subject| subject.to_str().ok());
        let then = Timestamp {
            seconds: 1_790_000_000,
            nanos: 123_456_000,
        };
        let profile = Profile {
            id: subject.unwrap_or_default().to_owned(),
            display_name: "Ada".to_owned(),
            create_time: Some(then),
            update_time: Some(then),
            etag: "1".to_owned(),
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
        Err(Status::unimplemented("it only reads"))
    }

    async fn search_profiles(
        &self,
        _: Request<SearchProfilesRequest>,
    ) -> Result<Response<SearchProfilesResponse>, Status> {
        Err(Status::unimplemented("it only reads"))
    }
}
