//! The services of this process; each call is one function in a file of its name.

mod erase_user;
mod export_user;
mod get_preferences;
mod get_profile;
mod list_activities;
mod provision_users;
mod record_activities;
mod search_profiles;
mod update_preferences;
mod update_profile;

use chassis::caller::Caller;
use grimoire_proto::user::v1::activity_service_server::ActivityService;
use grimoire_proto::user::v1::preferences_service_server::PreferencesService;
use grimoire_proto::user::v1::profile_service_server::ProfileService;
use grimoire_proto::user::v1::user_data_service_server::UserDataService;
use grimoire_proto::user::v1::*;
use outbox::Wake;
use sqlx::PgPool;
use tonic::{Request, Response, Status, async_trait};

use crate::time_zones::TimeZones;
use crate::users::Users;

/// Most entries of a batch.
const BATCH: usize = 500;

pub(crate) struct ProfileApi {
    pub(crate) users: Users,
    pub(crate) time_zones: TimeZones,
    pub(crate) relay: Wake,
}

#[async_trait]
impl ProfileService for ProfileApi {
    async fn get_profile(
        &self,
        request: Request<GetProfileRequest>,
    ) -> Result<Response<GetProfileResponse>, Status> {
        let answer =
            get_profile::get_profile(&self.users, Caller::of(&request), request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn update_profile(
        &self,
        request: Request<UpdateProfileRequest>,
    ) -> Result<Response<UpdateProfileResponse>, Status> {
        let caller = Caller::of(&request).clone();
        let answer = update_profile::update_profile(self, &caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    async fn search_profiles(
        &self,
        request: Request<SearchProfilesRequest>,
    ) -> Result<Response<SearchProfilesResponse>, Status> {
        let answer = search_profiles::search_profiles(&self.users.pool, request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct PreferencesApi {
    pub(crate) users: Users,
    pub(crate) relay: Wake,
}

#[async_trait]
impl PreferencesService for PreferencesApi {
    async fn get_preferences(
        &self,
        request: Request<GetPreferencesRequest>,
    ) -> Result<Response<GetPreferencesResponse>, Status> {
        let answer =
            get_preferences::get_preferences(&self.users, Caller::of(&request), request.get_ref())
                .await?;
        Ok(Response::new(answer))
    }

    async fn update_preferences(
        &self,
        request: Request<UpdatePreferencesRequest>,
    ) -> Result<Response<UpdatePreferencesResponse>, Status> {
        let caller = Caller::of(&request).clone();
        let answer =
            update_preferences::update_preferences(self, &caller, request.into_inner()).await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct ActivityApi {
    pub(crate) pool: PgPool,
}

#[async_trait]
impl ActivityService for ActivityApi {
    async fn list_activities(
        &self,
        request: Request<ListActivitiesRequest>,
    ) -> Result<Response<ListActivitiesResponse>, Status> {
        let answer =
            list_activities::list_activities(&self.pool, Caller::of(&request), request.get_ref())
                .await?;
        Ok(Response::new(answer))
    }
}

pub(crate) struct UserDataApi {
    pub(crate) users: Users,
    pub(crate) relay: Wake,
}

#[async_trait]
impl UserDataService for UserDataApi {
    async fn provision_users(
        &self,
        request: Request<ProvisionUsersRequest>,
    ) -> Result<Response<ProvisionUsersResponse>, Status> {
        let answer = provision_users::provision_users(&self.users, request.get_ref()).await?;
        Ok(Response::new(answer))
    }

    async fn record_activities(
        &self,
        request: Request<RecordActivitiesRequest>,
    ) -> Result<Response<RecordActivitiesResponse>, Status> {
        let answer =
            record_activities::record_activities(&self.users.pool, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    type ExportUserStream = export_user::Records;

    async fn export_user(
        &self,
        request: Request<ExportUserRequest>,
    ) -> Result<Response<Self::ExportUserStream>, Status> {
        let records = export_user::export_user(&self.users.pool, request.get_ref()).await?;
        Ok(Response::new(records))
    }

    async fn erase_user(
        &self,
        request: Request<EraseUserRequest>,
    ) -> Result<Response<EraseUserResponse>, Status> {
        let answer = erase_user::erase_user(self, request.get_ref()).await?;
        Ok(Response::new(answer))
    }
}
