//! Events that cannot take effect, and what administrators decide about them: over REST and over gRPC.

use std::time::Duration;

use grimoire_proto::delivery::v1::delivery_service_client::DeliveryServiceClient;
use grimoire_proto::delivery::v1::parked_events::{Cause, State};
use grimoire_proto::delivery::v1::{
    DiscardParkedEventsRequest, ListParkedEventsRequest, ParkedEvents, RetryParkedEventsRequest,
};
use grimoire_proto::events::v1::LoggedIn;
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tests::rest::Client;
use tests::stack::{TestStack, eventually, shared};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::grpc::{channel, refused, with_token};

const TOPIC: &str = "grimoire.auth.account.v1";
const LOGGED_IN: &str = "grimoire.events.v1.LoggedIn";

/// Publishes an event of an account that nobody has, as the relay of auth would.
async fn publish(stack: &TestStack, account: &str, version: i64, event_type: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set(
            "bootstrap.servers",
            stack.stack.instance().bootstrap().unwrap(),
        )
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let login = LoggedIn {
        account_id: account.to_owned(),
        session_id: Uuid::now_v7().to_string(),
        new_device: false,
    };
    let (id, version) = (Uuid::now_v7().to_string(), version.to_string());
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", id.as_str()),
        ("ce_type", event_type),
        ("ce_source", "grimoire/test"),
        ("ce_time", "2026-11-24T12:00:00Z"),
        ("ce_subject", account),
        ("ce_sequence", version.as_str()),
        ("ce_generation", "1"),
        ("content-type", "application/protobuf"),
    ]
    .into_iter()
    .fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    });
    let payload = login.encode_to_vec();
    let record = FutureRecord::to(TOPIC)
        .key(account)
        .payload(&payload)
        .headers(headers);
    producer
        .send(record, Duration::from_secs(20))
        .await
        .unwrap();
}

/// What waits of a key for `audit`; none where it is not parked.
async fn parked(admin: &Client, key: &str) -> Option<Value> {
    let list = admin
        .get("/v1/admin/parkedEvents?subscriber=audit&state=STATE_PARKED&pageSize=200")
        .await
        .ok();
    let mut listed = list["parkedEvents"].as_array().unwrap().iter();
    listed.find(|parked| parked["key"] == key).cloned()
}

#[tokio::test]
async fn an_event_that_cannot_take_effect_is_seen_tried_again_and_given_up_on_record() {
    let stack = shared().await;
    let admin = stack.admin().await;
    let key = Uuid::now_v7().to_string();
    publish(stack, &key, 1, "grimoire.events.v1.Unheard").await;
    publish(stack, &key, 2, LOGGED_IN).await;
    let seen = eventually("both events to wait", || async {
        let found = parked(&admin.client, &key).await;
        found.filter(|parked| parked["eventCount"] == 2)
    })
    .await;
    assert_eq!(
        (&seen["topic"], &seen["cause"]),
        (&json!(TOPIC), &json!("CAUSE_REFUSED"))
    );
    let reason = seen["reason"].as_str().unwrap();
    assert!(reason.contains("grimoire.events.v1.Unheard"), "{reason}");
    assert!(seen["parkTime"].is_string() && seen["retryTime"].is_string());

    let one = json!({"subscriber": "audit", "topic": TOPIC, "key": key});
    let retried = admin
        .client
        .post("/v1/admin/parkedEvents:retry", one.clone())
        .await;
    assert_eq!(retried.ok(), json!({}));
    let with_etag = |etag: &Value| {
        let mut body = one.clone();
        body["etag"] = etag.clone();
        body
    };
    let stale = admin
        .client
        .post(
            "/v1/admin/parkedEvents:discard",
            with_etag(&json!("somebody else's")),
        )
        .await;
    stale.problem(409, "ETAG_MISMATCH");
    let discard = with_etag(&seen["etag"]);
    let discarded = admin
        .client
        .post("/v1/admin/parkedEvents:discard", discard.clone())
        .await
        .ok();
    assert!(discarded["offset"].is_string(), "{discarded}");

    eventually("the key to be free", || async {
        let found = parked(&admin.client, &key).await;
        found.is_none().then_some(())
    })
    .await;
    let again = admin
        .client
        .post("/v1/admin/parkedEvents:discard", discard)
        .await;
    again.problem(404, "RESOURCE_NOT_FOUND");

    let audit = admin
        .client
        .get(&format!("/v1/admin/auditRecords?accountId={key}"))
        .await
        .ok();
    let records = audit["auditRecords"].as_array().unwrap();
    let of_type = |name: &str| records.iter().find(|record| record["type"] == name);
    assert!(
        of_type("LOGGED_IN").is_some(),
        "what waited behind it: {audit}"
    );
    for decision in ["INBOX_RETRY", "INBOX_DISCARD"] {
        let record = of_type(decision).unwrap_or_else(|| panic!("no {decision}: {audit}"));
        assert_eq!(record["details"]["by"], admin.account, "{record}");
        assert_eq!(record["details"]["accept_gap"], "false", "{record}");
        let trace = record["traceId"].as_str().unwrap();
        assert_eq!(trace.len(), 32, "{record}");
    }
}

/// What waits of a key for a subscriber.
async fn listed(
    delivery: &DeliveryServiceClient<Channel>,
    token: &str,
    subscriber: &str,
    key: &str,
) -> Option<ParkedEvents> {
    let request = ListParkedEventsRequest {
        subscriber: subscriber.to_owned(),
        page_size: 200,
        ..Default::default()
    };
    let list = delivery
        .clone()
        .list_parked_events(with_token(token, request))
        .await;
    let listed = list.unwrap().into_inner().parked_events;
    listed.into_iter().find(|parked| parked.key == key)
}

#[tokio::test]
async fn a_gap_is_given_up_only_when_an_administrator_says_so() {
    let stack = shared().await;
    let admin = stack.admin().await;
    let token = admin.tokens["accessToken"].as_str().unwrap();
    let mut delivery = DeliveryServiceClient::new(channel(stack, "gateway").await);
    let key = Uuid::now_v7().to_string();
    publish(stack, &key, 1, LOGGED_IN).await;
    publish(stack, &key, 3, LOGGED_IN).await;
    for subscriber in ["audit", "mail", "user-data"] {
        let seen = eventually("the key to be parked", || {
            listed(&delivery, token, subscriber, &key)
        })
        .await;
        assert_eq!((seen.cause(), seen.state()), (Cause::Gap, State::Parked));
        assert_eq!(seen.reason, "version 3 follows version 1");
    }

    let discard = |accept_gap| {
        let request = DiscardParkedEventsRequest {
            subscriber: "audit".to_owned(),
            topic: TOPIC.to_owned(),
            key: key.clone(),
            accept_gap,
            etag: String::new(),
        };
        with_token(token, request)
    };
    let status = delivery.discard_parked_events(discard(false)).await;
    let details = refused(&status.unwrap_err(), "EVENTS_MISSING");
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!((&*metadata["last"], &*metadata["version"]), ("1", "3"));
    let given_up = delivery.discard_parked_events(discard(true)).await;
    assert!(given_up.unwrap().into_inner().offset >= 0);
    let status = delivery.discard_parked_events(discard(true)).await;
    refused(&status.unwrap_err(), "RESOURCE_NOT_FOUND");

    for subscriber in ["mail", "user-data"] {
        let request = RetryParkedEventsRequest {
            subscriber: subscriber.to_owned(),
            topic: TOPIC.to_owned(),
            key: key.clone(),
            accept_gap: true,
        };
        let retried = delivery.retry_parked_events(with_token(token, request));
        retried.await.unwrap();
        eventually("the key to be free", || async {
            let found = listed(&delivery, token, subscriber, &key).await;
            found.is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_state_that_there_is_not_and_a_token_of_another_list_are_refused() {
    let stack = shared().await;
    let admin = stack.admin().await;
    let answer = admin
        .client
        .get("/v1/admin/parkedEvents?state=STATE_LOST")
        .await;
    answer.problem(400, "INVALID_FIELD");
    assert_eq!(answer.body["errors"][0]["field"], "state");
    let answer = admin
        .client
        .get("/v1/admin/parkedEvents?pageToken=nonsense")
        .await;
    answer.problem(400, "INVALID_PAGE_TOKEN");

    let token = admin.tokens["accessToken"].as_str().unwrap();
    let mut delivery = DeliveryServiceClient::new(channel(stack, "gateway").await);
    let request = ListParkedEventsRequest {
        state: 7,
        ..Default::default()
    };
    let list = delivery.list_parked_events(with_token(token, request));
    refused(&list.await.unwrap_err(), "INVALID_FIELD");
}
