use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chassis::status::Failure;
use chassis::upstream::{self, Upstream};
use futures::TryStreamExt as _;
use futures::stream::{self, BoxStream, StreamExt as _};
use grimoire_proto::Reason;
use grimoire_proto::auth::v1::export_account_response::Record;
use grimoire_proto::auth::v1::*;
use grimoire_proto::user::v1::export_user_response::Record as UserRecord;
use grimoire_proto::user::v1::user_data_service_server::{UserDataService, UserDataServiceServer};
use grimoire_proto::user::v1::*;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, async_trait};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::change_password::just_proven;
use crate::kit::{Auth, PASSWORD, nobody, on_behalf_of, reason, session_of, set};

const EMAIL: &str = "ada@example.com";

/// In user's place: what it keeps is the same of everybody.
#[derive(Clone, Default)]
struct People {
    records: Vec<UserRecord>,
    /// How the stream ends that has them.
    failure: Option<Status>,
    /// Who was asked for, and the time that was left for it.
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl People {
    async fn serve(self) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(UserDataServiceServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        upstream::connect("user", &url.parse().unwrap())
    }
}

#[async_trait]
impl UserDataService for People {
    type ExportUserStream = BoxStream<'static, Result<ExportUserResponse, Status>>;

    async fn export_user(
        &self,
        request: Request<ExportUserRequest>,
    ) -> Result<Response<Self::ExportUserStream>, Status> {
        let left = request.metadata().get("grpc-timeout").unwrap();
        let left = left.to_str().unwrap().to_owned();
        let account = request.into_inner().account;
        self.asked.lock().unwrap().push((account, left));
        let records = self.records.clone().into_iter().map(|record| {
            Ok(ExportUserResponse {
                record: Some(record),
            })
        });
        let failure = self.failure.clone().map(Err);
        Ok(Response::new(stream::iter(records.chain(failure)).boxed()))
    }

    async fn provision_users(
        &self,
        _request: Request<ProvisionUsersRequest>,
    ) -> Result<Response<ProvisionUsersResponse>, Status> {
        Err(Status::unimplemented("nobody asks for it"))
    }

    async fn record_activities(
        &self,
        _request: Request<RecordActivitiesRequest>,
    ) -> Result<Response<RecordActivitiesResponse>, Status> {
        Err(Status::unimplemented("nobody asks for it"))
    }

    async fn erase_user(
        &self,
        _request: Request<EraseUserRequest>,
    ) -> Result<Response<EraseUserResponse>, Status> {
        Err(Status::unimplemented("nobody asks for it"))
    }
}

fn activity(of_type: &str) -> UserRecord {
    UserRecord::Activity(Activity {
        id: Uuid::now_v7().to_string(),
        r#type: of_type.to_owned(),
        ..Default::default()
    })
}

/// A request by somebody who has just proven who they are.
fn of(account: &str, caller: &str) -> Request<ExportAccountRequest> {
    let message = ExportAccountRequest {
        account: account.to_owned(),
    };
    let mut request = on_behalf_of(message, caller);
    just_proven(&mut request);
    request
}

impl Auth {
    async fn export(&self, request: Request<ExportAccountRequest>) -> Result<Vec<Record>, Status> {
        let records = self.accounts.clone().export_account(request).await?;
        let records = records.into_inner();
        records
            .map_ok(|answer| answer.record.expect("a record of a kind that is known"))
            .try_collect()
            .await
    }
}

fn kind(record: &Record) -> &'static str {
    match record {
        Record::Account(_) => "account",
        Record::Session(_) => "session",
        Record::Device(_) => "device",
        Record::EmailChange(_) => "email change",
        Record::PasswordReset(_) => "password reset",
        Record::FormerEmail(_) => "former email",
        Record::Profile(_) => "profile",
        Record::Preferences(_) => "preferences",
        Record::Activity(_) => "activity",
    }
}

#[tokio::test]
async fn what_auth_keeps_comes_first_and_then_what_user_keeps() {
    let profile = Profile {
        bio: "Analyst".to_owned(),
        ..Default::default()
    };
    let people = People {
        records: vec![
            UserRecord::Profile(profile.clone()),
            UserRecord::Preferences(Preferences::default()),
            activity("LOGGED_IN"),
            activity("ACCOUNT_REGISTERED"),
        ],
        ..Default::default()
    };
    let auth = Auth::beside(people.clone().serve().await).await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let ended = auth.login(EMAIL, PASSWORD).await.unwrap().tokens.unwrap();
    auth.logout(Some(&session_of(&ended)), "").await.unwrap();
    auth.login(EMAIL, "not the password").await.unwrap_err();
    auth.change_token(&account.id, &tokens, "ada@example.org")
        .await;
    let reset = RequestPasswordResetRequest {
        email: EMAIL.to_owned(),
    };
    auth.accounts
        .clone()
        .request_password_reset(reset)
        .await
        .unwrap();
    // Somebody else, of whom nothing is told.
    let (eve, tokens_of_eve) = auth.signed_in("eve@example.com").await;
    auth.change_token(&eve.id, &tokens_of_eve, "eve@example.org")
        .await;

    let records = auth.export(of("me", &account.id)).await.unwrap();
    let kinds: Vec<&str> = records.iter().map(kind).collect();
    assert_eq!(
        kinds,
        [
            "account",
            "session",
            "session",
            "device",
            "device",
            "email change",
            "password reset",
            "profile",
            "preferences",
            "activity",
            "activity",
        ]
    );
    let Record::Account(own) = &records[0] else {
        unreachable!()
    };
    assert_eq!(
        (&own.id, own.email.as_str(), own.display_name.as_str()),
        (&account.id, EMAIL, "Ada")
    );
    assert_eq!(
        (own.create_time, own.hold_time),
        (account.create_time, None)
    );
    assert_eq!(own.failed_logins, 1);
    assert!(own.last_failed_login_time.is_some());
    let (Record::Session(second), Record::Session(first)) = (&records[1], &records[2]) else {
        unreachable!()
    };
    assert_eq!(
        (&second.id, &first.id),
        (&session_of(&ended), &session_of(&tokens))
    );
    assert_eq!(
        (second.address.as_str(), second.user_agent.as_str()),
        ("203.0.113.9", "herons/1.0")
    );
    assert_eq!(second.auth_methods, ["pwd"]);
    assert!(second.end_time.is_some() && first.end_time.is_none());
    let Record::EmailChange(change) = &records[5] else {
        unreachable!()
    };
    assert_eq!(
        (change.new_email.as_str(), &change.session_id),
        ("ada@example.org", &session_of(&tokens))
    );
    assert_eq!((change.use_time, change.supersede_time), (None, None));
    assert_eq!(records[7], Record::Profile(profile));

    let asked = people.asked.lock().unwrap().clone();
    assert_eq!(asked[0].0, account.id);
}

#[tokio::test]
async fn an_address_that_the_account_has_left_is_told_as_long_as_it_is_kept() {
    let auth = Auth::beside(People::default().serve().await).await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth
        .change_token(&account.id, &tokens, "ada@example.org")
        .await;
    let proof = ConfirmEmailRequest { token };
    auth.accounts.clone().confirm_email(proof).await.unwrap();
    let records = auth.export(of("me", &account.id)).await.unwrap();
    let kinds: Vec<&str> = records.iter().map(kind).collect();
    assert_eq!(
        kinds,
        [
            "account",
            "session",
            "device",
            "email change",
            "former email"
        ]
    );
    let (Record::Account(own), Record::EmailChange(change), Record::FormerEmail(former)) =
        (&records[0], &records[3], &records[4])
    else {
        unreachable!()
    };
    assert_eq!(
        (own.email.as_str(), former.email.as_str()),
        ("ada@example.org", EMAIL)
    );
    assert!(change.use_time.is_some());
}

#[tokio::test]
async fn a_hold_is_told_to_an_administrator_who_answers_for_somebody() {
    let auth = Auth::beside(People::default().serve().await).await;
    let (ada, _) = auth.signed_in(EMAIL).await;
    let (admin, _) = auth.administrator("root@example.com").await;
    auth.execute(
        "update accounts set disabled_at = now(), locked = true where email = 'ada@example.com'",
    )
    .await;
    let mut request = of(&ada.id, &admin.id);
    set(&mut request, "grimoire-roles", "admin");
    let records = auth.export(request).await.unwrap();
    let Record::Account(account) = &records[0] else {
        unreachable!()
    };
    assert_eq!(account.id, ada.id);
    assert!(account.hold_time.is_some());
}

#[tokio::test]
async fn more_than_a_page_of_each_kind_comes_whole_and_once() {
    let auth = Auth::beside(People::default().serve().await).await;
    let (account, _) = auth.signed_in(EMAIL).await;
    auth.execute(
        "insert into sessions (id, account_id, secret, refresh_kid, refresh_expires_at, absolute_expires_at, amr, user_agent, address)
         select gen_random_uuid(), id, '', '1', now(), now(), '{pwd}', n::text, '' from accounts, generate_series(1, 450) as n;
         insert into known_devices (account_id, device_hmac)
         select id, int4send(n) from accounts, generate_series(1, 400) as n;
         insert into email_changes (id, account_id, session_id, email, security_version, token_hash, expires_at)
         select gen_random_uuid(), id, id, n || '@example.org', 1, int4send(n), now() from accounts, generate_series(1, 201) as n;
         insert into password_resets (id, address_hmac, account_id, token_hash, expires_at)
         select gen_random_uuid(), '', id, int4send(n), now() from accounts, generate_series(1, 199) as n",
    )
    .await;
    let records = auth.export(of("me", &account.id)).await.unwrap();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        *counts.entry(kind(record)).or_default() += 1;
    }
    let expected = [
        ("account", 1),
        // The one that registered, and its device.
        ("session", 451),
        ("device", 401),
        ("email change", 201),
        ("password reset", 199),
    ];
    assert_eq!(counts, expected.into());
    let mut agents: Vec<&str> = records
        .iter()
        .filter_map(|record| match record {
            Record::Session(session) => Some(session.user_agent.as_str()),
            _ => None,
        })
        .collect();
    agents.sort_unstable();
    agents.dedup();
    assert_eq!(agents.len(), 451);
}

#[tokio::test]
async fn no_secret_is_told() {
    let auth = Auth::beside(People::default().serve().await).await;
    let (account, tokens) = auth.signed_in(EMAIL).await;
    let token = auth
        .change_token(&account.id, &tokens, "ada@example.org")
        .await;
    let records = auth.export(of("me", &account.id)).await.unwrap();
    let told = format!("{records:?}");
    let hash: String = sqlx::query_scalar("select password_hash from accounts")
        .fetch_one(&auth.pool)
        .await
        .unwrap();
    for secret in [&hash, &token, &tokens.access_token, &tokens.refresh_token] {
        assert!(!told.contains(secret.as_str()), "{told}");
    }
    // There is no field for them either.
    let exported = grimoire_proto::descriptors()
        .all_messages()
        .filter(|message| message.name().starts_with("Exported"));
    for message in exported {
        for field in message.fields() {
            let wanted = ["secret", "hash", "hmac", "token"];
            let name = field.name();
            assert!(!wanted.iter().any(|part| name.contains(part)), "{name}");
        }
    }
}

#[tokio::test]
async fn while_user_is_away_nothing_is_told_in_place_of_a_part() {
    let auth = Auth::beside(nobody()).await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let status = auth.export(of("me", &account.id)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "user is not available")
    );
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "UNAVAILABLE");
    let wait = details.retry_info().unwrap().retry_delay;
    assert_eq!(wait, Some(Duration::from_secs(1)));
    // Everything else goes on.
    auth.login(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn what_fails_on_the_way_ends_the_records_with_its_reason() {
    let database = Failure::new(Reason::Unavailable, "the database is not available");
    let fault = Failure::new(Reason::Internal, "internal error");
    for (failure, code, told) in [
        (
            database.retry_after(Duration::from_secs(1)).into(),
            Code::Unavailable,
            "UNAVAILABLE",
        ),
        (fault.into(), Code::Internal, "INTERNAL"),
        // No status of ours: it has no details.
        (
            Status::permission_denied("not you"),
            Code::Internal,
            "INTERNAL",
        ),
    ] {
        let people = People {
            records: vec![activity("LOGGED_IN")],
            failure: Some(failure),
            ..Default::default()
        };
        let auth = Auth::beside(people.serve().await).await;
        let (account, _) = auth.signed_in(EMAIL).await;
        let status = auth.export(of("me", &account.id)).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert_eq!(reason(Err::<(), _>(status)), told);
    }
}

#[tokio::test]
async fn user_is_told_how_much_time_is_left() {
    let people = People::default();
    let auth = Auth::beside(people.clone().serve().await).await;
    let (account, _) = auth.signed_in(EMAIL).await;
    let mut request = of("me", &account.id);
    set(&mut request, "grpc-timeout", "20S");
    auth.export(request).await.unwrap();
    let (_, left) = people.asked.lock().unwrap()[0].clone();
    let left: u64 = left.strip_suffix('m').unwrap().parse().unwrap();
    assert!((10_000..20_000).contains(&left), "{left}");
}

#[tokio::test]
async fn it_is_for_the_owner_after_a_recent_proof_and_for_nobody_else() {
    let people = People::default();
    let auth = Auth::beside(people.clone().serve().await).await;
    let (ada, _) = auth.signed_in(EMAIL).await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    assert_eq!(
        reason(auth.export(of(&ada.id, &eve.id)).await),
        "RESOURCE_NOT_FOUND"
    );
    let nobody = Uuid::now_v7().to_string();
    assert_eq!(
        reason(auth.export(of("me", &nobody)).await),
        "RESOURCE_NOT_FOUND"
    );
    let long_ago = ExportAccountRequest {
        account: "me".to_owned(),
    };
    assert_eq!(
        reason(auth.export(on_behalf_of(long_ago, &ada.id)).await),
        "RECENT_LOGIN_REQUIRED"
    );
    assert!(people.asked.lock().unwrap().is_empty());
}
