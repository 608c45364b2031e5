use grimoire_proto::audit::v1::{ListAuditRecordsRequest, ListAuditRecordsResponse};
use prost_types::Timestamp;
use tonic::{Code, Request};
use uuid::Uuid;

use crate::kafka::TRACE;
use crate::world::{World, by_admin, by_somebody, failure};

async fn list(world: &World, request: ListAuditRecordsRequest) -> ListAuditRecordsResponse {
    world
        .audit()
        .list_audit_records(by_admin(request))
        .await
        .unwrap()
        .into_inner()
}

/// Ten records, one a second, of two accounts in turn; every fifth changes roles and has a trace. Their ids, newest first.
async fn fill(world: &World, accounts: [Uuid; 2]) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..10_u8 {
        let (id, role) = (Uuid::now_v7(), n % 5 == 0);
        sqlx::query(
            "insert into audit_records (id, type, account_id, time, trace_id, details)
             values ($1, $2, $3, to_timestamp($4), $5, '{\"version\": \"1\"}')",
        )
        .bind(id)
        .bind(if role { "ROLES_CHANGED" } else { "LOGGED_IN" })
        .bind(accounts[usize::from(n % 2)])
        .bind(f64::from(n))
        .bind(role.then_some(TRACE))
        .execute(&world.database.pool)
        .await
        .unwrap();
        ids.insert(0, id.to_string());
    }
    ids
}

fn all() -> ListAuditRecordsRequest {
    ListAuditRecordsRequest::default()
}

#[tokio::test]
async fn only_administrators_read_the_audit_log() {
    let world = World::start().await;
    let answer = world.audit().list_audit_records(Request::new(all())).await;
    assert_eq!(
        failure(answer),
        (Code::Unauthenticated, "TOKEN_MISSING".into(), String::new())
    );
    let answer = world.audit().list_audit_records(by_somebody(all())).await;
    assert_eq!(
        failure(answer),
        (
            Code::PermissionDenied,
            "ROLE_REQUIRED".into(),
            String::new()
        )
    );
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest() {
    let world = World::start().await;
    let ids = fill(&world, [Uuid::now_v7(), Uuid::now_v7()]).await;
    let (mut shown, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = list(
            &world,
            ListAuditRecordsRequest {
                page_size: 4,
                page_token,
                ..all()
            },
        )
        .await;
        shown.extend(page.audit_records.into_iter().map(|record| record.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(shown, ids);
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let world = World::start().await;
    let accounts = [Uuid::now_v7(), Uuid::now_v7()];
    fill(&world, accounts).await;
    let count = async |request| list(&world, request).await.audit_records.len();
    let (account_id, at) = (accounts[0].to_string(), |seconds| {
        Some(Timestamp { seconds, nanos: 0 })
    });
    assert_eq!(
        count(ListAuditRecordsRequest {
            account_id: account_id.clone(),
            ..all()
        })
        .await,
        5
    );
    assert_eq!(
        count(ListAuditRecordsRequest {
            r#type: "ROLES_CHANGED".into(),
            ..all()
        })
        .await,
        2
    );
    assert_eq!(
        count(ListAuditRecordsRequest {
            trace_id: TRACE.into(),
            ..all()
        })
        .await,
        2
    );
    assert_eq!(
        count(ListAuditRecordsRequest {
            account_id,
            r#type: "ROLES_CHANGED".into(),
            ..all()
        })
        .await,
        1
    );
    assert_eq!(
        count(ListAuditRecordsRequest {
            start_time: at(3),
            end_time: at(7),
            ..all()
        })
        .await,
        4
    );
}

#[tokio::test]
async fn a_token_holds_for_its_filter_only() {
    let world = World::start().await;
    fill(&world, [Uuid::now_v7(), Uuid::now_v7()]).await;
    let page_token = list(
        &world,
        ListAuditRecordsRequest {
            page_size: 4,
            ..all()
        },
    )
    .await
    .next_page_token;
    let other = ListAuditRecordsRequest {
        page_token,
        r#type: "LOGGED_IN".into(),
        ..all()
    };
    let answer = world.audit().list_audit_records(by_admin(other)).await;
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
async fn a_filter_that_can_find_nothing_is_refused() {
    let world = World::start().await;
    for (wrong, field) in [
        (
            ListAuditRecordsRequest {
                account_id: "me".into(),
                ..all()
            },
            "account_id",
        ),
        (
            ListAuditRecordsRequest {
                r#type: "logged in".into(),
                ..all()
            },
            "type",
        ),
        (
            ListAuditRecordsRequest {
                trace_id: "0af7".into(),
                ..all()
            },
            "trace_id",
        ),
        (
            ListAuditRecordsRequest {
                start_time: Some(Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                }),
                ..all()
            },
            "start_time",
        ),
        (
            ListAuditRecordsRequest {
                page_size: -1,
                ..all()
            },
            "page_size",
        ),
    ] {
        let answer = world.audit().list_audit_records(by_admin(wrong)).await;
        assert_eq!(
            failure(answer),
            (Code::InvalidArgument, "INVALID_FIELD".into(), field.into())
        );
    }
}
