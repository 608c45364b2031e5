use grimoire_proto::auth::v1::ListSessionsRequest;

use crate::kit::{Auth, PASSWORD, on_behalf_of, reason, session_of, set};

fn list(page_size: i32, page_token: &str) -> ListSessionsRequest {
    ListSessionsRequest {
        account: "me".to_owned(),
        page_size,
        page_token: page_token.to_owned(),
    }
}

#[tokio::test]
async fn live_sessions_are_listed_newest_first_and_the_current_one_is_marked() {
    let auth = Auth::start().await;
    let (account, first) = auth.signed_in("ada@example.com").await;
    let second = auth
        .login("ada@example.com", PASSWORD)
        .await
        .unwrap()
        .tokens
        .unwrap();
    let ended = auth
        .login("ada@example.com", PASSWORD)
        .await
        .unwrap()
        .tokens
        .unwrap();
    auth.logout(Some(&session_of(&ended)), "").await.unwrap();

    let mut request = on_behalf_of(list(0, ""), &account.id);
    set(&mut request, "grimoire-session", &session_of(&second));
    let answer = auth
        .sessions
        .clone()
        .list_sessions(request)
        .await
        .unwrap()
        .into_inner();
    let shown: Vec<(String, bool)> = answer
        .sessions
        .iter()
        .map(|session| (session.id.clone(), session.current))
        .collect();
    assert_eq!(
        shown,
        [(session_of(&second), true), (session_of(&first), false)]
    );
    assert_eq!(
        (
            answer.sessions[0].address.as_str(),
            answer.sessions[0].user_agent.as_str()
        ),
        ("203.0.113.9", "herons/1.0")
    );
    assert_eq!(answer.next_page_token, "");
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repeat() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in("ada@example.com").await;
    for _ in 0..4 {
        auth.login("ada@example.com", PASSWORD).await.unwrap();
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let request = on_behalf_of(list(2, &token), &account.id);
        let page = auth
            .sessions
            .clone()
            .list_sessions(request)
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.sessions.into_iter().map(|session| session.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]));
}

#[tokio::test]
async fn anothers_sessions_and_wrong_tokens_are_refused() {
    let auth = Auth::start().await;
    let (ada, _) = auth.signed_in("ada@example.com").await;
    let (eve, _) = auth.signed_in("eve@example.com").await;
    let request = ListSessionsRequest {
        account: ada.id,
        ..Default::default()
    };
    assert_eq!(
        reason(
            auth.sessions
                .clone()
                .list_sessions(on_behalf_of(request, &eve.id))
                .await
        ),
        "RESOURCE_NOT_FOUND"
    );
    let refusal = auth
        .sessions
        .clone()
        .list_sessions(on_behalf_of(list(0, "nonsense"), &eve.id))
        .await;
    assert_eq!(reason(refusal), "INVALID_PAGE_TOKEN");
}
