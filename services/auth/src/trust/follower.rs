//! One follower and its stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chassis::status::Failure;
use grimoire_proto::Reason;
use grimoire_proto::auth::v1::{FollowRequest, FollowResponse, KeySet, Revocation};
use telemetry::{metrics, names};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{Trust, on_the_wire};
use crate::error::{Error, Violation};
use crate::store::revocations::{self, BEGINNING};
use crate::store::trust_followers;

/// A lease is 10 s.
const RENEW_LEASE: Duration = Duration::from_secs(3);
const FIRST_MESSAGE_WITHIN: Duration = Duration::from_secs(10);
/// Entries of one message: well under the 4 MiB that a message may have.
const CHUNK: usize = 10_000;

/// The stream to a follower. It ends with the process, when the follower leaves, when it is too slow, and when the database is away:
/// then another replica may know more.
pub(crate) fn follow(
    trust: Arc<Trust>,
    inbound: Streaming<FollowRequest>,
) -> ReceiverStream<Result<FollowResponse, Status>> {
    let (out, stream) = mpsc::channel(8);
    tokio::spawn(async move {
        let followers = metrics::gauge(
            names::AUTH_TRUST_FOLLOWERS,
            "Gateways that follow this replica",
        );
        followers.inc();
        if let Err(error) = serve(&trust, inbound, &out).await {
            // The follower may have gone.
            let _ = out.send(Err(error.into())).await;
        }
        followers.dec();
    });
    ReceiverStream::new(stream)
}

type Out = mpsc::Sender<Result<FollowResponse, Status>>;

async fn serve(
    trust: &Trust,
    mut inbound: Streaming<FollowRequest>,
    out: &Out,
) -> Result<(), Error> {
    let first = tokio::select! {
        () = trust.stop.cancelled() => return Ok(()),
        first = timeout(FIRST_MESSAGE_WITHIN, inbound.message()) => first,
    };
    let Ok(Some(first)) = first.map_err(|_| Violation::new("follower", "was not sent in time"))?
    else {
        return Ok(());
    };
    let follower = first.follower;
    if follower.is_empty() || follower.len() > 128 {
        return Err(Violation::new("follower", "is required, with at most 128 characters").into());
    }

    // Committed before the first read: a key that is made later waits for this follower.
    let mut acknowledged = generation(first.acknowledged_generation);
    trust_followers::seen(&trust.pool, &follower, trust.instance, acknowledged).await?;
    // Subscribed before the first read: nothing falls between.
    let mut updates = trust.updates.subscribe();
    everything(trust, out).await?;

    let mut renewal = interval(RENEW_LEASE);
    renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
    renewal.reset();
    loop {
        tokio::select! {
            () = trust.stop.cancelled() => return Ok(()),
            () = out.closed() => return Ok(()),
            message = inbound.message() => {
                let Ok(Some(message)) = message else { return Ok(()) };
                if generation(message.acknowledged_generation) != acknowledged {
                    acknowledged = generation(message.acknowledged_generation);
                    trust_followers::seen(&trust.pool, &follower, trust.instance, acknowledged).await?;
                }
                if message.resend {
                    keys(trust, out).await?;
                }
            }
            update = updates.recv() => {
                let update = match update {
                    Ok(update) => update,
                    Err(RecvError::Lagged(_)) => {
                        tracing::warn!(follower, "a follower is too slow and is let go");
                        let slow = Failure::new(Reason::Unavailable, "the follower is too slow: connect again");
                        return Err(Status::from(slow).into());
                    }
                    Err(RecvError::Closed) => return Ok(()),
                };
                let told = messages(update.keys.clone(), update.revocations.clone(), false);
                send(out, told, Some(update.read_began)).await;
            }
            _ = renewal.tick() => {
                trust_followers::seen(&trust.pool, &follower, trust.instance, acknowledged).await?;
            }
        }
    }
}

/// Sends all keys and all live revocations.
async fn everything(trust: &Trust, out: &Out) -> Result<(), Error> {
    let began = Instant::now();
    let news = revocations::since(&trust.pool, BEGINNING).await?;
    let keys = trust.keys().await?;
    let told = messages(Some(keys), on_the_wire(news.revocations), true);
    send(out, told, Some(began)).await;
    Ok(())
}

/// Sends all keys. A token with an unknown key, which anybody can make, leads to this, so it stays cheap: revocations are followed
/// already, and as they are not read here, the message says nothing of its age.
async fn keys(trust: &Trust, out: &Out) -> Result<(), Error> {
    let told = messages(Some(trust.keys().await?), Vec::new(), true);
    send(out, told, None).await;
    Ok(())
}

fn messages(
    keys: Option<KeySet>,
    mut revocations: Vec<Revocation>,
    complete: bool,
) -> Vec<FollowResponse> {
    let mut messages = Vec::new();
    while revocations.len() > CHUNK {
        let rest = revocations.split_off(CHUNK);
        messages.push(FollowResponse {
            revocations: std::mem::replace(&mut revocations, rest),
            ..Default::default()
        });
    }
    messages.push(FollowResponse {
        keys,
        revocations,
        complete,
        age: None,
    });
    messages
}

/// Sends what one read gave. Its age is told by the last message alone, since a follower that has a part of it is no wiser than before,
/// and at the moment of sending, so that a queue makes it grow. A follower that has gone is noticed by the loop.
async fn send(out: &Out, messages: Vec<FollowResponse>, read_began: Option<Instant>) {
    let last = messages.len().saturating_sub(1);
    for (index, mut message) in messages.into_iter().enumerate() {
        let Ok(place) = out.reserve().await else {
            return;
        };
        if index == last {
            message.age =
                read_began.and_then(|began| prost_types::Duration::try_from(began.elapsed()).ok());
        }
        place.send(Ok(message));
    }
}

fn generation(acknowledged: u64) -> i64 {
    i64::try_from(acknowledged).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_set_is_cut_into_messages_of_which_the_last_is_complete() {
        let revocations = vec![Revocation::default(); 2 * CHUNK + 1];
        let messages = messages(None, revocations, true);
        assert_eq!(
            messages
                .iter()
                .map(|message| message.revocations.len())
                .collect::<Vec<_>>(),
            [CHUNK, CHUNK, 1]
        );
        assert_eq!(
            messages
                .iter()
                .map(|message| message.complete)
                .collect::<Vec<_>>(),
            [false, false, true]
        );
    }

    #[tokio::test]
    async fn the_last_message_of_a_read_alone_says_how_old_it_is() {
        let (out, mut sent) = mpsc::channel(8);
        let cut = messages(None, vec![Revocation::default(); 2 * CHUNK + 1], true);
        send(&out, cut, Some(Instant::now())).await;
        send(&out, messages(None, Vec::new(), true), None).await;
        drop(out);
        let mut aged = Vec::new();
        while let Some(message) = sent.recv().await {
            aged.push(message.unwrap().age.is_some());
        }
        assert_eq!(aged, [false, false, true, false]);
    }
}
