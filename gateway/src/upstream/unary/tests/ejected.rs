//! Calls to several addresses.

use std::sync::Arc;

use http::Uri;
use tokio::net::TcpListener;

use super::call;
use super::peer::Peer;
use crate::upstream::Upstream;
use crate::upstream::connections::Connections;

#[tokio::test]
async fn an_address_where_nobody_is_takes_a_call_and_then_is_passed_over() {
    let peer = Peer::start(|_| {}).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let upstream = Upstream::for_tests();
    let origin = Uri::from_static("http://test:1");
    let connections = Connections::default().changed(vec![nobody, peer.address], &origin, 2);
    upstream.connections.store(Arc::new(connections));

    let mut failed = 0;
    for turn in 0..100 {
        let place = upstream.place(turn).unwrap();
        let outcome = call(&place.unary, "/echo", "x").await;
        upstream.note(place.address, outcome.as_ref().err());
        failed += usize::from(outcome.is_err());
    }
    // On a slow machine it may have been tried again.
    assert!((1..10).contains(&failed), "{failed}");
}
