//! Plays auth's trust stream, and signs tokens.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use grimoire_proto::auth::v1::trust_service_server::{TrustService, TrustServiceServer};
use grimoire_proto::auth::v1::{
    FollowRequest, FollowResponse, KeySet, Revocation, VerificationKey, revocation::Target,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{AUDIENCE, ISSUER};

/// One signing key.
pub(crate) struct Issuer {
    pub(crate) kid: &'static str,
    pub(crate) key: EncodingKey,
    /// The public point, uncompressed.
    pub(crate) point: Vec<u8>,
}

impl Issuer {
    pub(crate) fn new(kid: &'static str) -> Self {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        Self {
            kid,
            key: EncodingKey::from_ec_der(pkcs8.as_ref()),
            point: pair.public_key().as_ref().to_vec(),
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            typ: Some("at+jwt".into()),
            kid: Some(self.kid.into()),
            ..Header::new(Algorithm::ES256)
        }
    }

    /// A token of a person without roles.
    pub(crate) fn token(&self) -> String {
        self.sign(&claims(&[]))
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&self.header(), claims, &self.key).unwrap()
    }

    fn public(&self) -> VerificationKey {
        VerificationKey {
            kid: self.kid.into(),
            x: self.point[1..33].to_vec(),
            y: self.point[33..].to_vec(),
        }
    }
}

pub(crate) fn claims(roles: &[&str]) -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": Uuid::now_v7(), "sid": Uuid::now_v7(), "iat": now, "exp": now + 300, "jti": Uuid::now_v7(),
        "client_id": "test", "ver": 3, "auth_time": now, "amr": ["pwd"], "scope": "", "roles": roles,
    })
}

/// The claims of a token.
pub(crate) fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(
        &base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .unwrap(),
    )
    .unwrap()
}

/// What the trust stream says.
pub(crate) struct TrustFeed {
    snapshot: Mutex<FollowResponse>,
    updates: broadcast::Sender<FollowResponse>,
    pub(crate) acknowledged: watch::Sender<u64>,
    pub(crate) asked: watch::Sender<u32>,
}

impl TrustFeed {
    pub(crate) fn new(issuer: &Issuer) -> Self {
        let keys = KeySet {
            generation: 1,
            keys: vec![issuer.public()],
        };
        let snapshot = FollowResponse {
            keys: Some(keys),
            ..FollowResponse::default()
        };
        Self {
            snapshot: Mutex::new(snapshot),
            updates: broadcast::Sender::new(64),
            acknowledged: watch::Sender::new(0),
            asked: watch::Sender::new(0),
        }
    }

    /// Adds a key, and tells followers of it where `told`.
    pub(crate) fn add_key(&self, issuer: &Issuer, told: bool) {
        let mut snapshot = self.snapshot.lock().unwrap();
        let keys = snapshot.keys.get_or_insert_default();
        keys.generation += 1;
        keys.keys.push(issuer.public());
        if told {
            let _ = self.updates.send(FollowResponse {
                keys: Some(keys.clone()),
                ..FollowResponse::default()
            });
        }
    }

    pub(crate) fn revoke(&self, target: Target) {
        let expire_time = Some((SystemTime::now() + Duration::from_secs(600)).into());
        let revocation = Revocation {
            target: Some(target),
            expire_time,
        };
        self.snapshot
            .lock()
            .unwrap()
            .revocations
            .push(revocation.clone());
        let _ = self.updates.send(FollowResponse {
            revocations: vec![revocation],
            ..FollowResponse::default()
        });
    }

    fn everything(&self) -> FollowResponse {
        let snapshot = self.snapshot.lock().unwrap().clone();
        FollowResponse {
            complete: true,
            age: Some(prost_types::Duration::default()),
            ..snapshot
        }
    }
}

pub(super) fn server(feed: Arc<TrustFeed>) -> TrustServiceServer<Follow> {
    TrustServiceServer::new(Follow(feed))
}

pub(super) struct Follow(Arc<TrustFeed>);

type Messages = Pin<Box<dyn tokio_stream::Stream<Item = Result<FollowResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TrustService for Follow {
    type FollowStream = Messages;

    async fn follow(
        &self,
        request: Request<Streaming<FollowRequest>>,
    ) -> Result<Response<Messages>, Status> {
        let feed = self.0.clone();
        let mut said = request.into_inner();
        let mut updates = feed.updates.subscribe();
        let (say, messages) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut beats = tokio::time::interval(Duration::from_millis(200));
            let mut next = Some(feed.everything());
            loop {
                if let Some(message) = next.take()
                    && say.send(Ok(message)).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    update = updates.recv() => next = update.ok(),
                    _ = beats.tick() => {
                        next = Some(FollowResponse { age: Some(prost_types::Duration::default()), ..FollowResponse::default() });
                    }
                    message = said.message() => match message {
                        Ok(Some(message)) => {
                            feed.acknowledged.send_replace(message.acknowledged_generation);
                            if message.resend {
                                feed.asked.send_modify(|asked| *asked += 1);
                                next = Some(feed.everything());
                            }
                        }
                        Ok(None) | Err(_) => return,
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}
