//! In place of user: it answers profiles at once, so that neither user nor PostgreSQL takes the gateway's time.

use std::net::SocketAddr;

use grimoire_proto::user::v1::profile_service_server::{ProfileService, ProfileServiceServer};
use grimoire_proto::user::v1::{
    GetProfileRequest, GetProfileResponse, Profile, SearchProfilesRequest, SearchProfilesResponse,
    UpdateProfileRequest, UpdateProfileResponse,
};
use prost_types::Timestamp;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::served;

struct Profiles;

/// Serves as long as this process runs.
pub(super) fn serve() -> SocketAddr {
    served::serve(Server::builder().add_service(ProfileServiceServer::new(Profiles)))
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
