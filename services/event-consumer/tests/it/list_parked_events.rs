use event_consumer::topics;
use grimoire_proto::delivery::v1::parked_events::{Cause, State};
use grimoire_proto::delivery::v1::{
    DiscardParkedEventsRequest, ListParkedEventsRequest, ListParkedEventsResponse, ParkedEvents,
    RetryParkedEventsRequest,
};
use prost_types::Timestamp;
use tonic::{Code, Request};
use uuid::Uuid;

use crate::kafka::Event;
use crate::parked::{PARKED_AT, dead, park, waiting};
use crate::world::{World, by_admin, by_somebody, failure};

fn all() -> ListParkedEventsRequest {
    ListParkedEventsRequest::default()
}

async fn list(world: &World, request: ListParkedEventsRequest) -> ListParkedEventsResponse {
    let answer = world.delivery().list_parked_events(by_admin(request)).await;
    answer.unwrap().into_inner()
}

fn names(page: &ListParkedEventsResponse) -> Vec<String> {
    let name = |parked: &ParkedEvents| format!("{} {}", parked.subscriber, parked.key);
    page.parked_events.iter().map(name).collect()
}

#[tokio::test]
async fn only_administrators_see_and_decide() {
    let world = World::start().await;
    let mut delivery = world.delivery();
    let refused = |code, reason: &str| (code, reason.to_owned(), String::new());
    let missing = refused(Code::Unauthenticated, "TOKEN_MISSING");
    let answer = delivery.list_parked_events(Request::new(all())).await;
    assert_eq!(failure(answer), missing);

    let required = refused(Code::PermissionDenied, "ROLE_REQUIRED");
    let answer = delivery.list_parked_events(by_somebody(all())).await;
    assert_eq!(failure(answer), required);
    let retry = by_somebody(RetryParkedEventsRequest::default());
    assert_eq!(failure(delivery.retry_parked_events(retry).await), required);
    let discard = by_somebody(DiscardParkedEventsRequest::default());
    assert_eq!(
        failure(delivery.discard_parked_events(discard).await),
        required
    );
}

#[tokio::test]
async fn a_parked_key_is_shown_with_what_an_administrator_has_to_know() {
    let world = World::start().await;
    let key = Uuid::now_v7().to_string();
    park(&world, "audit", &key, false, &[4, 5]).await;
    let shown = waiting(&world, &key).await.unwrap();
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let expected = ParkedEvents {
        subscriber: "audit".into(),
        topic: topics::ACCOUNT.into(),
        key,
        state: State::Parked.into(),
        cause: Cause::Refused.into(),
        reason: "it is not taken".into(),
        tries: 2,
        event_count: 2,
        park_time: at(PARKED_AT),
        retry_time: at(PARKED_AT + 3600),
        etag: shown.etag.clone(),
    };
    assert_eq!(shown, expected);
    assert!(!shown.etag.is_empty());
}

#[tokio::test]
async fn pages_go_on_where_the_one_before_ended_and_each_token_holds_for_its_filter() {
    let world = World::start().await;
    for key in ["a", "b", "c"] {
        for subscriber in ["audit", "mail"] {
            park(&world, subscriber, key, true, &[1]).await;
        }
    }
    let page = |page_token: &str| ListParkedEventsRequest {
        page_size: 4,
        page_token: page_token.into(),
        ..all()
    };
    let first = list(&world, page("")).await;
    assert_eq!(names(&first), ["audit a", "audit b", "audit c", "mail a"]);
    let second = list(&world, page(&first.next_page_token)).await;
    assert_eq!(names(&second), ["mail b", "mail c"]);
    assert!(second.next_page_token.is_empty());

    let other = ListParkedEventsRequest {
        state: State::Dead.into(),
        ..page(&first.next_page_token)
    };
    let answer = world.delivery().list_parked_events(by_admin(other)).await;
    assert_eq!(
        failure(answer),
        (
            Code::InvalidArgument,
            "INVALID_PAGE_TOKEN".into(),
            "page_token".into()
        )
    );
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let world = World::start().await;
    park(&world, "audit", "a", true, &[1]).await;
    park(&world, "audit", "b", false, &[1]).await;
    park(&world, "mail", "a", false, &[1]).await;
    let filtered = |subscriber: &str, state: State| ListParkedEventsRequest {
        subscriber: subscriber.into(),
        state: state.into(),
        ..all()
    };
    for (request, expected) in [
        (
            filtered("audit", State::Unspecified),
            vec!["audit a", "audit b"],
        ),
        (filtered("", State::Parked), vec!["audit b", "mail a"]),
        (filtered("", State::Dead), vec!["audit a"]),
        (filtered("mail", State::Dead), vec![]),
    ] {
        assert_eq!(names(&list(&world, request).await), expected);
    }
}

#[tokio::test]
async fn a_filter_that_can_find_nothing_is_refused() {
    let world = World::start().await;
    for (wrong, field) in [
        (ListParkedEventsRequest { state: 7, ..all() }, "state"),
        (
            ListParkedEventsRequest {
                subscriber: "au\0dit".into(),
                ..all()
            },
            "subscriber",
        ),
        (
            ListParkedEventsRequest {
                page_size: -1,
                ..all()
            },
            "page_size",
        ),
    ] {
        let answer = world.delivery().list_parked_events(by_admin(wrong)).await;
        assert_eq!(
            failure(answer),
            (Code::InvalidArgument, "INVALID_FIELD".into(), field.into())
        );
    }
}

#[tokio::test]
async fn a_reason_quotes_nothing_of_the_payload() {
    let world = World::consuming().await;
    let account = Uuid::now_v7();
    let garbled = Event {
        payload: [&[0xff_u8; 11][..], b"ada@example.com"].concat(),
        ..Event::login(account, 1, false)
    };
    garbled.publish().await;
    let shown = dead(&world, &account.to_string()).await;
    assert_eq!(shown.cause(), Cause::Refused);
    assert!(
        !shown.reason.is_empty() && !shown.reason.contains("ada"),
        "{}",
        shown.reason
    );
    assert_eq!(shown.retry_time, None);
}
