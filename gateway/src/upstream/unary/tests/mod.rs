//! The client against servers of the crate h2, and against peers that send what they like.

mod calls;
mod ejected;
mod faults;
mod input;
mod peer;
mod scripted;

use std::time::Duration;

use bytes::Bytes;

use super::{Client, Outcome, Request};
use crate::upstream::broken::Broken;

/// Makes a call; none of these takes long.
async fn call(client: &Client, path: &str, message: impl Into<Bytes>) -> Outcome {
    let request = Request {
        path,
        metadata: &[],
        timeout: None,
        message: &message.into(),
    };
    soon(client.call(&request)).await
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it takes too long")
}

/// How a call failed with its connection: whether it may have been processed, and whether the address is lost.
#[track_caller]
fn broken(outcome: Outcome) -> (bool, bool) {
    let status = outcome.unwrap_err();
    let broken = Broken::of(&status).unwrap_or_else(|| panic!("{status} is not of a connection"));
    (broken.processed, broken.lost)
}
