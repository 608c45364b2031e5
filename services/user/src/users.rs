//! People as this service knows them: a profile is made at the first sight of an account, so none of the callers needs to
//! know whether the event of its registration has come yet.

use chassis::caller::AccountId;
use grimoire_proto::auth::v1::LookupAccountsRequest;
use grimoire_proto::auth::v1::directory_service_client::DirectoryServiceClient;
use sqlx::{PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::error::Error;
use crate::profile;
use crate::store::profiles::{self, NewProfile, ProfileRow};

/// Everybody's profile, made at first sight.
#[derive(Clone)]
pub(crate) struct Users {
    pub(crate) pool: PgPool,
    pub(crate) directory: DirectoryServiceClient<chassis::upstream::Upstream>,
}

impl Users {
    /// The profile of `account`.
    pub(crate) async fn read(&self, account: AccountId) -> Result<ProfileRow, Error> {
        if let Some(row) = profiles::read(&self.pool, account.into()).await? {
            return Ok(row);
        }
        self.make(&[account.into()]).await?;
        profiles::read(&self.pool, account.into())
            .await?
            .ok_or(Error::UnknownAccount)
    }

    /// A transaction that keeps every other writer of `account` away, and its profile.
    pub(crate) async fn lock(
        &self,
        account: AccountId,
    ) -> Result<(Transaction<'static, Postgres>, ProfileRow), Error> {
        if let Some(locked) = self.lock_existing(account).await? {
            return Ok(locked);
        }
        self.make(&[account.into()]).await?;
        self.lock_existing(account)
            .await?
            .ok_or(Error::UnknownAccount)
    }

    /// Makes the profiles of those of `accounts` that have none. Accounts that auth does not know are left out.
    pub(crate) async fn make(&self, accounts: &[Uuid]) -> Result<(), Error> {
        let missing = profiles::missing(&self.pool, accounts).await?;
        if missing.is_empty() {
            return Ok(());
        }
        let request = LookupAccountsRequest {
            accounts: missing.iter().map(Uuid::to_string).collect(),
        };
        let answer = self
            .directory
            .clone()
            .lookup_accounts(request)
            .await
            .map_err(Error::Directory)?
            .into_inner();
        let known: Vec<NewProfile> = answer
            .entries
            .into_iter()
            .filter_map(|entry| {
                Some(NewProfile {
                    id: entry.account.parse().ok()?,
                    display_name: profile::first_display_name(&entry.display_name),
                    locale: profile::first_locale(entry.locale),
                })
            })
            .collect();
        profiles::make(&self.pool, &known).await?;
        Ok(())
    }

    async fn lock_existing(
        &self,
        account: AccountId,
    ) -> Result<Option<(Transaction<'static, Postgres>, ProfileRow)>, Error> {
        let mut transaction = self.pool.begin().await?;
        let row = profiles::lock(&mut *transaction, account.into()).await?;
        Ok(row.map(|row| (transaction, row)))
    }
}
