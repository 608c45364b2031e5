//! Signing keys take turns. A replica that starts looks at once, so tests change what it will find and start one.

use std::time::Duration;

use grimoire_proto::auth::v1::{RevokeSigningKeyRequest, RotateSigningKeyRequest};
use tokio::time::{sleep, timeout};
use tonic::Request;

use crate::kit::{Auth, PASSWORD, identity, on_behalf_of, reason, set};

const EMAIL: &str = "ada@example.com";
/// The active key has signed for long enough, and the pending one is known for long.
const DUE: &str = "update signing_keys set created_at = now() - interval '40 days', activated_at = activated_at - interval '40 days'";
/// A key whose last token has expired: that it is retired tells that somebody has looked.
const MARK: &str = "insert into signing_keys (kid, state, generation, x, y, kek_id, sealed, retiring_at)
     select 'mark', 'retiring', generation, x, y, kek_id, sealed, now() - interval '1 hour' from signing_keys where state = 'active'";

impl Auth {
    async fn kid_of(&self, state: &str) -> String {
        sqlx::query_scalar("select kid from signing_keys where state = $1")
            .bind(state)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Another replica starts, and has looked when this returns.
    async fn look(&self) -> Auth {
        self.execute(MARK).await;
        let replica = Auth::over(self.pool.clone(), identity()).await;
        let looked = async {
            let retired =
                "select count(*) from signing_keys where kid = 'mark' and state = 'retired'";
            while self.count(retired).await == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), looked)
            .await
            .expect("it looks");
        replica
    }

    /// The key that signs at a sign-in.
    async fn signs(&self) -> String {
        let tokens = self.login(EMAIL, PASSWORD).await.unwrap().tokens.unwrap();
        let header = jsonwebtoken::decode_header(&tokens.access_token).unwrap();
        header.kid.unwrap()
    }
}

#[tokio::test]
async fn a_key_that_has_signed_its_time_hands_over_to_the_pending_one_and_verifies_on() {
    let auth = Auth::start().await;
    auth.signed_in(EMAIL).await;
    let (active, pending) = (auth.kid_of("active").await, auth.kid_of("pending").await);
    let generation = auth.count("select generation from key_set").await;
    auth.execute(DUE).await;
    let replica = auth.look().await;
    assert_eq!(auth.kid_of("active").await, pending);
    assert_eq!(auth.kid_of("retiring").await, active);
    assert_ne!(auth.kid_of("pending").await, pending);
    assert!(auth.count("select generation from key_set").await > generation);
    assert_eq!(replica.signs().await, pending);
}

#[tokio::test]
async fn a_key_goes_on_until_its_time_is_up() {
    let auth = Auth::start().await;
    let active = auth.kid_of("active").await;
    auth.look().await;
    assert_eq!(auth.kid_of("active").await, active);
}

#[tokio::test]
async fn a_key_signs_nothing_before_every_live_gateway_knows_it() {
    let auth = Auth::start().await;
    let (active, pending) = (auth.kid_of("active").await, auth.kid_of("pending").await);
    auth.execute(
        "insert into trust_followers (follower, instance, acknowledged_generation, seen_at)
         values ('slow', gen_random_uuid(), 0, now() + interval '1 hour')",
    )
    .await;
    auth.execute(DUE).await;
    auth.look().await;
    assert_eq!(auth.kid_of("active").await, active);

    auth.execute("delete from signing_keys where kid = 'mark'")
        .await;
    auth.execute("update trust_followers set seen_at = now() - interval '11 seconds'")
        .await;
    auth.look().await;
    assert_eq!(
        auth.kid_of("active").await,
        pending,
        "its lease has run out"
    );
}

#[tokio::test]
async fn a_key_signs_nothing_while_others_may_hold_a_set_without_it() {
    let auth = Auth::start().await;
    let active = auth.kid_of("active").await;
    // The pending one alone was made just now.
    auth.execute("update signing_keys set activated_at = activated_at - interval '40 days'")
        .await;
    auth.look().await;
    assert_eq!(auth.kid_of("active").await, active);
}

#[tokio::test]
async fn a_revoked_key_is_replaced_at_once_and_its_tokens_are_refused() {
    let auth = Auth::start().await;
    let (admin, _) = auth.signed_in(EMAIL).await;
    let (active, pending) = (auth.kid_of("active").await, auth.kid_of("pending").await);
    let revoke = |kid: &str| {
        let request = RevokeSigningKeyRequest {
            kid: kid.to_owned(),
        };
        let mut client = auth.admin.clone();
        let request = recently(on_behalf_of(request, &admin.id));
        async move { client.revoke_signing_key(request).await }
    };
    revoke(&active).await.unwrap();
    assert_eq!(auth.kid_of("active").await, pending);
    assert_ne!(auth.kid_of("pending").await, pending);
    let refused = "select count(*) from revocations where kid is not null";
    assert_eq!(auth.count(refused).await, 1);
    for unknown in [active.as_str(), "unknown"] {
        assert_eq!(reason(revoke(unknown).await), "RESOURCE_NOT_FOUND");
    }
    let next = auth.kid_of("pending").await;
    revoke(&next).await.unwrap();
    assert_eq!(auth.kid_of("active").await, pending);
    assert_ne!(auth.kid_of("pending").await, next);
}

#[tokio::test]
async fn a_key_that_is_asked_for_waits_like_any_other_until_it_is_ready() {
    let auth = Auth::start().await;
    let (admin, _) = auth.signed_in(EMAIL).await;
    let rotate = || {
        let mut client = auth.admin.clone();
        let request = recently(on_behalf_of(RotateSigningKeyRequest {}, &admin.id));
        async move { client.rotate_signing_key(request).await }
    };
    assert_eq!(reason(rotate().await), "SIGNING_KEY_NOT_READY");
    let pending = auth.kid_of("pending").await;
    auth.execute("update signing_keys set created_at = now() - interval '1 hour'")
        .await;
    rotate().await.unwrap();
    assert_eq!(auth.kid_of("active").await, pending);
}

/// As the gateway tells of an administrator who has just signed in.
fn recently<T>(mut request: Request<T>) -> Request<T> {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    set(&mut request, "grimoire-roles", "admin");
    set(&mut request, "grimoire-auth-time", &now.to_string());
    request
}
