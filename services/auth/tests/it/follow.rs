use std::time::{Duration, Instant};

use grimoire_proto::auth::v1::revocation::Target;
use grimoire_proto::auth::v1::{FollowRequest, FollowResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::kit::{Auth, reason, session_of};

/// A gateway, seen from auth.
struct Follower {
    say: mpsc::Sender<FollowRequest>,
    hear: Streaming<FollowResponse>,
}

impl Follower {
    async fn connect(auth: &Auth, name: &str) -> Self {
        let (say, said) = mpsc::channel(8);
        say.send(FollowRequest {
            follower: name.to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
        let hear = auth
            .trust
            .clone()
            .follow(ReceiverStream::new(said))
            .await
            .unwrap()
            .into_inner();
        Self { say, hear }
    }

    async fn next(&mut self) -> Result<Option<FollowResponse>, Status> {
        tokio::time::timeout(Duration::from_secs(10), self.hear.message())
            .await
            .unwrap()
    }

    /// The first message that fits.
    async fn until(&mut self, fits: impl Fn(&FollowResponse) -> bool) -> FollowResponse {
        loop {
            let message = self.next().await.unwrap().unwrap();
            if fits(&message) {
                return message;
            }
        }
    }
}

fn revokes_session(message: &FollowResponse, session: &str) -> bool {
    message
        .revocations
        .iter()
        .any(|entry| matches!(&entry.target, Some(Target::Session(revoked)) if revoked == session))
}

#[tokio::test]
async fn the_first_message_has_all_keys_and_live_revocations() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth.logout(Some(&session_of(&tokens)), "").await.unwrap();
    auth.execute(
        "insert into revocations (kid, expires_at) values ('expired', now() - interval '1 second')",
    )
    .await;

    let first = Follower::connect(&auth, "gateway-1")
        .await
        .next()
        .await
        .unwrap()
        .unwrap();
    assert!(first.complete && revokes_session(&first, &session_of(&tokens)));
    assert_eq!(first.revocations.len(), 1);
    assert!(first.revocations[0].expire_time.is_some());
    let keys = first.keys.unwrap();
    assert_eq!(
        (keys.generation, keys.keys.len()),
        (1, 2),
        "an active key and a pending one"
    );
    assert!(
        keys.keys
            .iter()
            .all(|key| key.x.len() == 32 && key.y.len() == 32)
    );
    assert!(first.age.is_some());
}

#[tokio::test]
async fn a_logout_reaches_the_followers_of_every_replica() {
    let auth = Auth::start().await;
    let other = Auth::over(auth.pool.clone(), crate::kit::identity()).await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    let session = session_of(&tokens);
    let mut followers = [
        Follower::connect(&auth, "gateway-1").await,
        Follower::connect(&other, "gateway-2").await,
    ];
    for follower in &mut followers {
        follower.until(|message| message.complete).await;
    }
    auth.logout(Some(&session), "").await.unwrap();
    for follower in &mut followers {
        follower
            .until(|message| revokes_session(message, &session))
            .await;
    }
}

#[tokio::test]
async fn a_revocation_that_commits_late_is_not_lost() {
    let auth = Auth::start().await;
    let mut follower = Follower::connect(&auth, "gateway-1").await;
    follower.until(|message| message.complete).await;

    let mut late = auth.pool.begin().await.unwrap();
    sqlx::query(
        "insert into revocations (kid, expires_at) values ('late', now() + interval '1 hour')",
    )
    .execute(&mut *late)
    .await
    .unwrap();
    auth.execute(
        "insert into revocations (kid, expires_at) values ('early', now() + interval '1 hour')",
    )
    .await;
    let has = |message: &FollowResponse, kid: &str| {
        message
            .revocations
            .iter()
            .any(|entry| matches!(&entry.target, Some(Target::Kid(revoked)) if revoked == kid))
    };
    follower.until(|message| has(message, "early")).await;
    late.commit().await.unwrap();
    follower.until(|message| has(message, "late")).await;
}

#[tokio::test]
async fn a_change_of_roles_revokes_older_versions_of_the_account() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in("ada@example.com").await;
    let mut follower = Follower::connect(&auth, "gateway-1").await;
    follower.until(|message| message.complete).await;
    auth::grant_role(&auth.pool, "ada@example.com", "admin")
        .await
        .unwrap();
    let told = follower
        .until(|message| !message.revocations.is_empty())
        .await;
    let Some(Target::Account(version)) = &told.revocations[0].target else {
        panic!("{told:?}")
    };
    assert_eq!(
        (version.account.as_str(), version.min_version),
        (account.id.as_str(), 2)
    );
}

#[tokio::test]
async fn heartbeats_come_each_second_from_a_fresh_read() {
    let auth = Auth::start().await;
    let mut follower = Follower::connect(&auth, "gateway-1").await;
    follower.until(|message| message.complete).await;
    let began = Instant::now();
    for _ in 0..2 {
        let age = follower.next().await.unwrap().unwrap().age.unwrap();
        assert!(age.seconds == 0, "{age:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_acknowledgement_is_written_down_and_a_resend_sends_the_keys_alone() {
    let auth = Auth::start().await;
    let (_, tokens) = auth.signed_in("ada@example.com").await;
    auth.logout(Some(&session_of(&tokens)), "").await.unwrap();
    let mut follower = Follower::connect(&auth, "gateway-1").await;
    follower.until(|message| message.complete).await;
    assert_eq!(
        auth.count(
            "select acknowledged_generation from trust_followers where follower = 'gateway-1'"
        )
        .await,
        0
    );

    let acknowledgement = FollowRequest {
        follower: String::new(),
        acknowledged_generation: 1,
        resend: true,
    };
    follower.say.send(acknowledgement).await.unwrap();
    let again = follower.until(|message| message.complete).await;
    assert_eq!(again.keys.unwrap().keys.len(), 2);
    // Anybody can cause it by a token with an invented key: it reads no revocations, and does not pretend to have.
    assert!(again.revocations.is_empty() && again.age.is_none());
    // Written before what was asked for is sent.
    assert_eq!(
        auth.count(
            "select acknowledged_generation from trust_followers where follower = 'gateway-1'"
        )
        .await,
        1
    );
}

#[tokio::test]
async fn a_new_generation_of_keys_is_sent_as_a_whole() {
    let auth = Auth::start().await;
    let mut follower = Follower::connect(&auth, "gateway-1").await;
    follower.until(|message| message.complete).await;
    auth.execute("update signing_keys set state = 'retired' where state = 'pending'; update key_set set generation = generation + 1")
        .await;
    // The older set may be repeated meanwhile.
    let newer = follower
        .until(|message| {
            message
                .keys
                .as_ref()
                .is_some_and(|keys| keys.generation == 2)
        })
        .await;
    assert_eq!(newer.keys.unwrap().keys.len(), 1);
}

#[tokio::test]
async fn a_follower_without_a_name_is_refused() {
    let auth = Auth::start().await;
    let mut follower = Follower::connect(&auth, "").await;
    assert_eq!(reason(follower.next().await), "INVALID_FIELD");
}

#[tokio::test]
async fn the_stream_ends_when_the_process_stops() {
    let auth = Auth::start().await;
    let mut follower = Follower::connect(&auth, "gateway-1").await;
    follower.until(|message| message.complete).await;
    drop(auth.stop);
    // Before calls are cut off that do not end by themselves.
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        while follower.next().await.unwrap().is_some() {}
    });
    ended.await.unwrap();
}
