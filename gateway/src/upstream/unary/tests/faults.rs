//! Calls that are given up, and connections that end under them.

use h2::Reason;
use tokio::net::TcpListener;

use super::peer::Peer;
use super::{Client, broken, call, soon};

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_cancelled_and_leaves_its_place() {
    let peer = Peer::start(|builder| {
        builder.max_concurrent_streams(1);
    })
    .await;
    let client = Client::new(peer.address, "peer");
    tokio::select! {
        _ = call(&client, "/never", "") => panic!("it is answered"),
        () = peer.begun(1) => {}
    }
    assert_eq!(peer.reset().await, Reason::CANCEL);
    assert_eq!(call(&client, "/echo", "next").await.unwrap(), "next");
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_call_that_waits_for_a_place_may_be_given_up_too() {
    let peer = Peer::start(|builder| {
        builder.max_concurrent_streams(1);
    })
    .await;
    let client = Client::new(peer.address, "peer");
    let held = call(&client, "/held", "held");
    let others = async {
        peer.begun(1).await;
        let waiting = call(&client, "/echo", "waits");
        tokio::select! {
            biased;
            _ = waiting => panic!("there was a place"),
            () = tokio::task::yield_now() => {}
        }
        peer.release();
        call(&client, "/echo", "next").await
    };
    let (held, next) = tokio::join!(held, others);
    assert_eq!(
        (held.unwrap(), next.unwrap()),
        ("held".into(), "next".into())
    );
}

#[tokio::test]
async fn a_connection_that_is_about_to_end_loses_no_call_and_takes_no_other() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    let held = futures::future::join_all((0..20).map(|_| call(&client, "/held", "held")));
    let others = async {
        peer.begun(20).await;
        peer.leave();
        // The end may be heard of by one of these, which is not processed then.
        while peer.connections() == 1 {
            match call(&client, "/echo", "next").await {
                Ok(answer) => assert_eq!(answer, "next"),
                failed => assert_eq!(broken(failed), (false, false)),
            }
        }
        peer.release();
    };
    let (held, ()) = soon(futures::future::join(held, others)).await;
    for answer in held {
        assert_eq!(answer.unwrap(), "held");
    }
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_call_whose_connection_is_lost_may_have_been_processed() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    let (lost, ()) = tokio::join!(call(&client, "/never", ""), async {
        peer.begun(1).await;
        peer.die();
    });
    assert_eq!(broken(lost), (true, true));
    assert_eq!(call(&client, "/echo", "next").await.unwrap(), "next");
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn a_call_that_is_refused_was_not_processed_and_one_that_is_reset_may_have_been() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    assert_eq!(broken(call(&client, "/refused", "").await), (false, false));
    assert_eq!(broken(call(&client, "/fallen", "").await), (true, false));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn who_is_not_there_has_processed_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(address, "peer");
    let calls = (0..50).map(|_| call(&client, "/echo", ""));
    for outcome in futures::future::join_all(calls).await {
        let status = outcome.as_ref().unwrap_err();
        assert!(status.message().starts_with("the connection failed: "));
        assert_eq!(broken(outcome), (false, true));
    }
}

#[tokio::test]
async fn a_connection_that_ended_between_calls_begins_again() {
    let peer = Peer::start(|_| {}).await;
    let client = Client::new(peer.address, "peer");
    assert_eq!(call(&client, "/echo", "x").await.unwrap(), "x");
    peer.die();
    // A call may be on its way while the end is.
    soon(async {
        while peer.connections() == 1 {
            let _ = call(&client, "/echo", "x").await;
        }
    })
    .await;
    assert_eq!(call(&client, "/echo", "x").await.unwrap(), "x");
}
