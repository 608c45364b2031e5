//! Follows auth's trust stream for as long as the process lives.

use std::sync::Arc;
use std::time::Duration;

use grimoire_proto::auth::v1::FollowRequest;
use grimoire_proto::auth::v1::trust_service_client::TrustServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Trust;
use crate::upstream::Upstream;

/// The stream says something each second; when it is silent for longer, or takes nothing, it is dead.
const SILENCE: Duration = Duration::from_secs(4);
/// But first auth reads all that is live, which may be a million rows of a database that has just started.
const FIRST_SILENCE: Duration = Duration::from_secs(30);
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// Largest message: a part of a snapshot of all live revocations.
const LARGEST: usize = 64 << 20;

/// Keeps `trust` current from `auth` until `stop`: a stream that ends is begun anew, at the next address, after a growing delay.
pub(crate) async fn follow(trust: Arc<Trust>, auth: Arc<Upstream>, stop: CancellationToken) {
    let follower = uuid::Uuid::now_v7().to_string();
    let mut delay = FIRST_DELAY;
    let mut house = tokio::time::interval(Duration::from_secs(1));
    let keep_house = async {
        loop {
            house.tick().await;
            trust.keep_house();
        }
    };
    let streams = async {
        loop {
            let mut heard = false;
            let ended = stream(&trust, &auth, &follower, &mut heard).await;
            if heard {
                delay = FIRST_DELAY;
                tracing::warn!(error = %ended, "the trust stream ended; following again");
            } else {
                tracing::warn!(error = %ended, retry_in = ?delay, "the trust stream cannot be followed");
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_house => {}
        () = streams => {}
    }
}

/// One stream, to its end.
async fn stream(trust: &Trust, auth: &Upstream, follower: &str, heard: &mut bool) -> Status {
    let Some(channel) = auth.channel(auth.turn()) else {
        return Status::unavailable("auth has no address yet");
    };
    trust.begin_stream();
    let mut client = TrustServiceClient::new(channel).max_decoding_message_size(LARGEST);
    let (say, said) = mpsc::channel(4);
    let message = |resend| FollowRequest {
        follower: follower.to_owned(),
        acknowledged_generation: trust.keys().generation(),
        resend,
    };
    if !tell(&say, message(false)).await {
        return takes_nothing();
    }
    let mut messages =
        match tokio::time::timeout(SILENCE, client.follow(ReceiverStream::new(said))).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return status,
            Err(_) => return Status::deadline_exceeded("auth does not answer"),
        };
    let mut silence = FIRST_SILENCE;
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(silence, messages.message()) => next,
            () = trust.ask.notified() => {
                if !tell(&say, message(true)).await {
                    return takes_nothing();
                }
                continue;
            }
        };
        match next {
            Ok(Ok(Some(learnt))) => {
                *heard = true;
                if learnt.complete {
                    silence = SILENCE;
                }
                // Acknowledged only when tokens of the new keys are already taken.
                if trust.learn(learnt).is_some() && !tell(&say, message(false)).await {
                    return takes_nothing();
                }
            }
            Ok(Ok(None)) => return Status::unavailable("auth ended the stream"),
            Ok(Err(status)) => return status,
            Err(_) => return Status::deadline_exceeded("the stream fell silent"),
        }
    }
}

/// Whether it could be said. Both sides may be waiting for the other one to listen.
async fn tell(say: &mpsc::Sender<FollowRequest>, message: FollowRequest) -> bool {
    say.send_timeout(message, SILENCE).await.is_ok()
}

fn takes_nothing() -> Status {
    Status::unavailable("the stream takes no messages")
}
