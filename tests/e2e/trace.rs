//! What a request leads to can be followed from process to process, through the outbox and Kafka.

mod real_collector;

use launcher::Signal;
use serde_json::{Value, json};
use tests::collector::{Place, Span};
use tests::stack::{Person, TestStack, alone, eventually};
use uuid::Uuid;

const UPDATE: &str = "grimoire.user.v1.ProfileService/UpdateProfile";
const EFFECT: &str = "grimoire.user.v1.UserDataService/RecordActivities";

#[tokio::test]
async fn one_trace_leads_from_a_request_through_kafka_to_its_effects() {
    let alone = alone().await;
    let admin = alone.system.admin().await;
    // Nothing else is under way then, so nothing shares a batch with the update.
    await_activities(&admin, 3).await;

    let (trace, caller) = update(&alone.system, &admin).await;
    let spans = eventually("the spans of the update", || async {
        let mut spans = alone.collector.spans();
        spans.retain(|span| span.trace() == trace);
        is_whole(&spans).then_some(spans)
    })
    .await;
    assert_way(&spans, &trace, &caller);

    let record = eventually("the audit record of the update", || async {
        let path = format!("/v1/admin/auditRecords?accountId={}", admin.account);
        let list = admin.client.get(&path).await.ok();
        let records = list["auditRecords"].as_array()?.iter();
        let mut records = records.filter(|record| record["type"] == "PROFILE_UPDATED");
        records.next().cloned()
    })
    .await;
    assert_eq!(record["traceId"], trace.as_str());
}

#[tokio::test]
async fn what_takes_effect_together_is_linked_to_each_of_its_causes() {
    let alone = alone().await;
    let mut people = Vec::new();
    for _ in 0..3 {
        let person = alone.system.sign_up().await;
        await_activities(&person, 2).await;
        people.push(person);
    }

    // Updates that pile up are taken in batches.
    let stack = &alone.system.stack;
    stack.kill("event-consumer", Signal::SIGSTOP).unwrap();
    let mut traces = Vec::new();
    for person in &people {
        traces.push(update(&alone.system, person).await.0);
    }
    stack.kill("event-consumer", Signal::SIGCONT).unwrap();

    for (person, trace) in people.iter().zip(&traces) {
        await_activities(person, 3).await;
        eventually("a way from an effect back to the update", || async {
            let spans = alone.collector.spans();
            let update = spans
                .iter()
                .find(|span| span.name == UPDATE && span.trace() == trace)?;
            let mut effects = spans
                .iter()
                .filter(|span| span.service == "user" && span.name == EFFECT);
            effects
                .any(|effect| comes_from(&spans, effect, &update.place))
                .then_some(())
        })
        .await;
    }
}

/// The way of an update to its last effect.
const WAY: [(&str, &str); 5] = [
    ("gateway", "/v1/users/{user}"),
    ("user", UPDATE),
    ("event-consumer", "inbox.jobs"),
    ("event-consumer", EFFECT),
    ("user", EFFECT),
];

/// Whether the spans of an update are those of the request and of all its effects. Each process sends its own when it likes.
fn is_whole(spans: &[Span]) -> bool {
    let mut way = WAY.iter();
    let way = way.all(|(service, name)| find(spans, service, name).is_some());
    let audit = spans.iter().filter(|span| span.name == "inbox.apply");
    way && audit.count() == 2
}

/// The spans of an update lead from the caller's span to its last effect.
fn assert_way(spans: &[Span], trace: &str, caller: &str) {
    let mut way = Vec::new();
    let mut next = find(spans, "user", EFFECT);
    while let Some(span) = next {
        way.push((span.service.as_str(), span.name.as_str()));
        let parent = span.parent.as_ref();
        next = spans.iter().find(|span| parent == Some(&span.place));
        if next.is_none() {
            let caller = (trace.to_owned(), caller.to_owned());
            assert_eq!(parent, Some(&caller), "{spans:#?}");
        }
    }
    way.reverse();
    assert_eq!(way, WAY, "{spans:#?}");
    // The subscribers of the event: what they do is a part of the update, too.
    let update = find(spans, "user", UPDATE).unwrap();
    for span in spans.iter().filter(|span| span.name == "inbox.apply") {
        assert_eq!(span.parent.as_ref(), Some(&update.place), "{span:?}");
    }
}

/// Changes somebody's profile as part of a trace of the caller's: its id, and the caller's span.
async fn update(system: &TestStack, person: &Person) -> Place {
    let trace = Uuid::now_v7().simple().to_string();
    let span = Uuid::now_v7().simple().to_string()[16..].to_owned();
    let answer = reqwest::Client::new()
        .patch(format!("{}/v1/users/me", system.gateway()))
        .bearer_auth(person.tokens["accessToken"].as_str().unwrap())
        .header("traceparent", format!("00-{trace}-{span}-01"))
        .json(&json!({"bio": format!("part of {trace}")}))
        .send()
        .await
        .unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    assert_eq!(answer["bio"], format!("part of {trace}"));
    (trace, span)
}

async fn await_activities(person: &Person, count: usize) {
    eventually("activities", || async {
        let list = person.client.get("/v1/users/me/activities").await.ok();
        (list["activities"].as_array()?.len() == count).then_some(())
    })
    .await;
}

fn find<'a>(spans: &'a [Span], service: &str, name: &str) -> Option<&'a Span> {
    spans
        .iter()
        .find(|span| span.service == service && span.name == name)
}

/// Whether parents and links lead from `span` back to `cause`.
fn comes_from(spans: &[Span], span: &Span, cause: &Place) -> bool {
    span.causes().any(|place| {
        place == cause
            || spans
                .iter()
                .find(|span| span.place == *place)
                .is_some_and(|span| comes_from(spans, span, cause))
    })
}
