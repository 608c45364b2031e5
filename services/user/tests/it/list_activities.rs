use grimoire_proto::user::v1::{ListActivitiesRequest, ListActivitiesResponse};
use tonic::Code;
use uuid::Uuid;

use crate::record_activities::{activity, record};
use crate::service::{Service, by, failure, invalid, plain};

fn list(of_type: &str, page_size: i32, page_token: &str) -> ListActivitiesRequest {
    ListActivitiesRequest {
        user: "me".into(),
        r#type: of_type.into(),
        page_size,
        page_token: page_token.into(),
    }
}

async fn read(
    service: &Service,
    account: Uuid,
    request: ListActivitiesRequest,
) -> ListActivitiesResponse {
    service
        .activities()
        .list_activities(by(account, request))
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn activities_are_shown_as_they_were_recorded() {
    let service = Service::start().await;
    let account = service.registered();
    let sent = activity(account, "PROFILE_UPDATED", 0);
    record(
        &service,
        vec![sent.clone(), activity(Uuid::now_v7(), "LOGGED_IN", 0)],
    )
    .await;
    let page = read(&service, account, list("", 0, "")).await;
    assert_eq!(
        (page.activities.len(), page.next_page_token.as_str()),
        (1, "")
    );
    let shown = &page.activities[0];
    assert_eq!(
        (
            &shown.id,
            &shown.r#type,
            shown.time,
            &shown.session_id,
            &shown.fields
        ),
        (
            &sent.event,
            &sent.r#type,
            sent.time,
            &sent.session_id,
            &sent.fields
        )
    );
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_without_a_gap_or_a_repeat() {
    let service = Service::start().await;
    let account = service.registered();
    // Pairs of the same time, so that the id has to decide.
    let mut sent: Vec<_> = (0..9)
        .map(|n| activity(account, "LOGGED_IN", n / 2))
        .collect();
    record(&service, sent.clone()).await;
    sent.sort_by_key(|activity| {
        std::cmp::Reverse((activity.time.unwrap().seconds, activity.event.clone()))
    });

    let (mut shown, mut token) = (Vec::new(), String::new());
    loop {
        let page = read(&service, account, list("", 2, &token)).await;
        shown.extend(page.activities.into_iter().map(|activity| activity.id));
        // What comes in between is newer than where the reader is.
        record(&service, vec![activity(account, "LOGGED_OUT", 100)]).await;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        shown,
        sent.into_iter()
            .map(|activity| activity.event)
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_filter_shows_one_type_and_binds_the_token() {
    let service = Service::start().await;
    let account = service.registered();
    record(
        &service,
        (0..6)
            .map(|n| activity(account, ["LOGGED_IN", "LOGGED_OUT"][n % 2], n as i64))
            .collect(),
    )
    .await;
    let page = read(&service, account, list("LOGGED_OUT", 2, "")).await;
    assert!(
        page.activities.len() == 2
            && page
                .activities
                .iter()
                .all(|activity| activity.r#type == "LOGGED_OUT")
    );
    assert_eq!(
        read(
            &service,
            account,
            list("LOGGED_OUT", 2, &page.next_page_token)
        )
        .await
        .activities
        .len(),
        1
    );

    let other = service.registered();
    for request in [
        by(account, list("LOGGED_IN", 2, &page.next_page_token)),
        by(other, list("LOGGED_OUT", 2, &page.next_page_token)),
        by(account, list("", 2, "x")),
    ] {
        let (code, reason, _) = failure(service.activities().list_activities(request).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::InvalidArgument, "INVALID_PAGE_TOKEN")
        );
    }
}

#[tokio::test]
async fn a_wrong_filter_or_size_is_refused_and_anothers_list_is_not_there() {
    let service = Service::start().await;
    let (owner, other) = (service.registered(), service.registered());
    assert_eq!(
        failure(
            service
                .activities()
                .list_activities(by(owner, list("logged in", 0, "")))
                .await
        ),
        invalid(&["type"])
    );
    assert_eq!(
        failure(
            service
                .activities()
                .list_activities(by(owner, list("", -1, "")))
                .await
        ),
        invalid(&["page_size"])
    );
    let request = ListActivitiesRequest {
        user: owner.to_string(),
        ..list("", 0, "")
    };
    assert_eq!(
        failure(
            service
                .activities()
                .list_activities(by(other, request))
                .await
        ),
        plain(Code::NotFound, "RESOURCE_NOT_FOUND")
    );
}
