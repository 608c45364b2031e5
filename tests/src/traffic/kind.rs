//! The requests that traffic is made of.

use std::collections::HashMap;
use std::fmt;

use grimoire_proto::user::v1::preferences_service_client::PreferencesServiceClient;
use grimoire_proto::user::v1::profile_service_client::ProfileServiceClient;
use grimoire_proto::user::v1::{GetProfileRequest, Preferences, UpdatePreferencesRequest};
use prost_types::FieldMask;
use serde_json::{Value, json};

use super::balancer::{Balancer, of_call};
use super::{Outcome, People, Person, text};
use crate::load::{find, request};

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// REST, answered by user.
    GetProfile,
    /// REST, answered by auth.
    GetAccount,
    /// REST, answered by event-consumer.
    ListAuditRecords,
    /// Native gRPC, answered by user.
    CallGetProfile,
    /// REST, a change in user.
    UpdateProfile,
    /// Native gRPC, a change in user.
    CallUpdatePreferences,
    /// REST: a refresh token for new tokens.
    Refresh,
    /// REST, by password.
    Login,
}

/// How much there is of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// 62 % reads over REST, 25 % over gRPC, 4 % changes over each, 4 % refreshes, 0.5 % logins.
    Everything,
    /// Access tokens of every age, and many new ones: reads over REST and gRPC, 12 % refreshes, 0.5 % logins.
    Tokens,
}

impl Mix {
    pub(super) fn kind(self, number: usize) -> Kind {
        if number % 200 == 60 {
            return Kind::Login;
        }
        match self {
            Self::Everything => match number % 100 {
                0 | 26 | 50 | 76 => Kind::UpdateProfile,
                2 | 27 | 52 | 78 => Kind::CallUpdatePreferences,
                6 | 31 | 56 | 82 => Kind::Refresh,
                10 | 86 => Kind::ListAuditRecords,
                other if other % 4 == 1 => Kind::CallGetProfile,
                other if other % 4 == 3 => Kind::GetAccount,
                _ => Kind::GetProfile,
            },
            Self::Tokens => match number % 8 {
                0 => Kind::Refresh,
                1 | 5 => Kind::CallGetProfile,
                _ => Kind::GetProfile,
            },
        }
    }
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::GetProfile,
        Self::GetAccount,
        Self::ListAuditRecords,
        Self::CallGetProfile,
        Self::UpdateProfile,
        Self::CallUpdatePreferences,
        Self::Refresh,
        Self::Login,
    ];

    /// The service that answers.
    pub fn service(self) -> &'static str {
        match self {
            Self::GetAccount | Self::Refresh | Self::Login => "auth",
            Self::ListAuditRecords => "event-consumer",
            _ => "user",
        }
    }

    /// Whether its contract says that repeating does no harm.
    pub fn repeatable(self) -> bool {
        matches!(
            self,
            Self::GetProfile | Self::GetAccount | Self::ListAuditRecords | Self::CallGetProfile
        )
    }

    /// Asks, and looks at the answer.
    pub(super) async fn send(self, balancer: &Balancer, people: &People, number: usize) -> Outcome {
        // So that everybody asks for everything.
        let person = &people.people[(number + number / 100) % people.people.len()];
        let outcome = match self {
            Self::CallGetProfile => self.call_get_profile(balancer, person, number).await,
            Self::CallUpdatePreferences => self.call_update(balancer, person, number).await,
            Self::Refresh => self.refresh(balancer, person).await,
            Self::Login => self.ask(balancer, &person.login, "accessToken").await,
            _ => self.ask_signed(balancer, people, person, number).await,
        };
        outcome.err().unwrap_or(Outcome::Answered)
    }

    async fn ask_signed(
        self,
        balancer: &Balancer,
        people: &People,
        person: &Person,
        number: usize,
    ) -> Result<(), Outcome> {
        let bio = json!({"bio": format!("the {number}th change")}).to_string();
        let (method, path, body, expected) = match self {
            Self::GetAccount => ("GET", "/v1/accounts/me", "", person.account.as_str()),
            Self::UpdateProfile => ("PATCH", "/v1/users/me", bio.as_str(), &*person.account),
            Self::ListAuditRecords => (
                "GET",
                "/v1/admin/auditRecords?pageSize=1",
                "",
                "auditRecords",
            ),
            _ => ("GET", "/v1/users/me", "", person.account.as_str()),
        };
        let token = match self {
            Self::ListAuditRecords => people.admin.clone(),
            _ => person.token(number),
        };
        let authorization = format!("Authorization: Bearer {token}");
        let request = request(method, path, &[&authorization], body);
        self.ask(balancer, &request, expected).await
    }

    async fn refresh(self, balancer: &Balancer, person: &Person) -> Result<(), Outcome> {
        let mut refresh_token = person.refresh_token.lock().await;
        let body = json!({"refreshToken": *refresh_token}).to_string();
        let request = request("POST", "/v1/sessions:refresh", &[], &body);
        // Where its answer is lost, the same token is good once more.
        let answer = self.answer(balancer, &request).await?;
        let tokens: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if !tokens["accessToken"].is_string() || !tokens["refreshToken"].is_string() {
            return Err(unexpected(200, &answer));
        }
        *refresh_token = text(&tokens["refreshToken"]);
        let mut known = person.tokens.lock().expect("no panic while locked");
        known.push(text(&tokens["accessToken"]));
        Ok(())
    }

    /// Asks, for an answer that has this text.
    async fn ask(self, balancer: &Balancer, request: &[u8], expected: &str) -> Result<(), Outcome> {
        let answer = self.answer(balancer, request).await?;
        find(&answer, expected.as_bytes())
            .map(drop)
            .ok_or_else(|| unexpected(200, &answer))
    }

    async fn answer(self, balancer: &Balancer, request: &[u8]) -> Result<Vec<u8>, Outcome> {
        loop {
            let gateway = balancer.next().await;
            let tried = gateway.exchange(request).await;
            match gateway.settle(tried, self.repeatable()).transpose()? {
                Some((200, answer)) => return Ok(answer),
                Some((status, answer)) => return Err(unexpected(status, &answer)),
                None => {}
            }
        }
    }

    async fn call_get_profile(
        self,
        balancer: &Balancer,
        person: &Person,
        number: usize,
    ) -> Result<(), Outcome> {
        let token = person.token(number);
        loop {
            let gateway = balancer.next().await;
            let mut client = ProfileServiceClient::new(gateway.channel());
            let request = signed(&token, GetProfileRequest { user: "me".into() });
            let tried = of_call(client.get_profile(request).await);
            let Some(answer) = gateway.settle(tried, self.repeatable()).transpose()? else {
                continue;
            };
            let profile = answer.map_err(refused)?.profile.unwrap_or_default();
            if profile.id == person.account {
                return Ok(());
            }
            return Err(Outcome::Refused(format!("the profile of {}", profile.id)));
        }
    }

    async fn call_update(
        self,
        balancer: &Balancer,
        person: &Person,
        number: usize,
    ) -> Result<(), Outcome> {
        let token = person.token(number);
        let labels: HashMap<String, String> = [("last".to_owned(), number.to_string())].into();
        let message = UpdatePreferencesRequest {
            user: "me".into(),
            preferences: Some(Preferences {
                labels: labels.clone(),
                ..Preferences::default()
            }),
            update_mask: Some(FieldMask {
                paths: vec!["labels".to_owned()],
            }),
        };
        loop {
            let gateway = balancer.next().await;
            let mut client = PreferencesServiceClient::new(gateway.channel());
            let request = signed(&token, message.clone());
            let tried = of_call(client.update_preferences(request).await);
            let Some(answer) = gateway.settle(tried, self.repeatable()).transpose()? else {
                continue;
            };
            let preferences = answer.map_err(refused)?.preferences.unwrap_or_default();
            if preferences.labels == labels {
                return Ok(());
            }
            return Err(Outcome::Refused(format!("{:?}", preferences.labels)));
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::GetProfile => "GET /v1/users/me",
            Self::GetAccount => "GET /v1/accounts/me",
            Self::ListAuditRecords => "GET /v1/admin/auditRecords",
            Self::CallGetProfile => "gRPC GetProfile",
            Self::UpdateProfile => "PATCH /v1/users/me",
            Self::CallUpdatePreferences => "gRPC UpdatePreferences",
            Self::Refresh => "POST /v1/sessions:refresh",
            Self::Login => "POST /v1/sessions:login",
        })
    }
}

fn signed<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("ASCII");
    request.metadata_mut().insert("authorization", bearer);
    request
}

fn unexpected(status: u16, answer: &[u8]) -> Outcome {
    Outcome::Refused(format!("{status} {}", String::from_utf8_lossy(answer)))
}

fn refused(status: tonic::Status) -> Outcome {
    Outcome::Refused(status.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_share() {
        let share = |kind| {
            let of_kind = (0..200).filter(|number| Mix::Everything.kind(*number) == kind);
            of_kind.count()
        };
        let shares: Vec<usize> = Kind::ALL.into_iter().map(share).collect();
        assert_eq!(shares.iter().sum::<usize>(), 200);
        assert_eq!(shares, [75, 46, 4, 50, 8, 8, 8, 1]);
    }
}
