use std::time::{Duration, Instant};

use grimoire_proto::auth::v1::NotificationKind;

use crate::kit::{Auth, PASSWORD, claims, identity, reason, session_of};

#[tokio::test]
async fn the_right_password_opens_a_session_and_tells_of_a_new_device_once() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in("ada@example.com").await;
    let first = auth.login("ADA@example.com ", PASSWORD).await.unwrap();
    assert_eq!(first.account, Some(account.clone()));
    let mail = auth
        .notification(auth.events().await.pop().unwrap().id)
        .await
        .unwrap();
    assert_eq!(
        (mail.kind(), mail.address.as_str()),
        (NotificationKind::NewDevice, "ada@example.com")
    );
    assert_eq!(
        (mail.client_address.as_str(), mail.user_agent.as_str()),
        ("203.0.113.9", "herons/1.0")
    );

    let second = auth.login("ada@example.com", PASSWORD).await.unwrap();
    assert_ne!(
        session_of(&first.tokens.unwrap()),
        session_of(&second.tokens.unwrap())
    );
    let known = auth.events().await.pop().unwrap();
    assert_eq!(
        reason(auth.notification(known.id).await),
        "RESOURCE_NOT_FOUND"
    );
    let versions: Vec<i64> = auth
        .history(&account.id)
        .await
        .into_iter()
        .map(|(_, version)| version)
        .collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_wrong_password_an_unknown_address_and_a_disabled_account_read_the_same_and_cost_the_same_rows()
 {
    let auth = Auth::start().await;
    for email in ["ada@example.com", "bob@example.com"] {
        auth.signed_in(email).await;
    }
    auth.register("eve@example.com").await.unwrap();
    auth.execute("update accounts set disabled_at = now() where email = 'bob@example.com'")
        .await;

    let before = auth.rows().await;
    let mut answers = Vec::new();
    for (email, password) in [
        ("ada@example.com", "not her password"),
        ("eve@example.com", PASSWORD),
        ("bob@example.com", PASSWORD),
    ] {
        let refusal = auth.login(email, password).await.unwrap_err();
        answers.push((refusal.code(), refusal.message().to_owned()));
        assert_eq!(reason::<()>(Err(refusal)), "INVALID_CREDENTIALS");
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    assert_eq!(
        auth.rows().await,
        before + 3,
        "each updates the row of its address, and adds where it came from"
    );
    assert_eq!(
        auth.count("select count(*) from address_state where failures = 1")
            .await,
        3
    );
}

#[tokio::test]
async fn ten_failures_delay_the_next_attempt_and_a_success_forgets_them() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    for _ in 0..10 {
        assert_eq!(
            reason(auth.login("ada@example.com", "not her password").await),
            "INVALID_CREDENTIALS"
        );
    }
    // As if an hour of failures lay behind, so that the delay outlasts this test.
    auth.execute("update address_state set failures = 20").await;
    assert_eq!(
        reason(auth.login("ada@example.com", PASSWORD).await),
        "INVALID_CREDENTIALS"
    );
    assert_eq!(
        auth.count("select failures::bigint from address_state")
            .await,
        20,
        "a refused attempt does not count"
    );

    auth.execute("update failed_logins set failed_at = now() - interval '61 seconds'")
        .await;
    auth.login("ada@example.com", PASSWORD).await.unwrap();
    let left =
        "select sum(failures)::bigint + (select count(*) from failed_logins) from address_state";
    assert_eq!(auth.count(left).await, 0);
}

#[tokio::test]
async fn a_stranger_cannot_lock_the_owner_out() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    for guess in 0..20 {
        let guessed = auth
            .login_from("ada@example.com", "not her password", "203.0.113.66", "x")
            .await;
        assert_eq!(reason(guessed), "INVALID_CREDENTIALS", "{guess}");
    }
    auth.execute("update address_state set failures = 1000, last_failure_at = now()")
        .await;
    // Not even with the right password, where guesses come from.
    let stranger = auth.login_from("ada@example.com", PASSWORD, "203.0.113.66", "x");
    assert_eq!(reason(stranger.await), "INVALID_CREDENTIALS");
    auth.login_from("ada@example.com", PASSWORD, "198.51.100.1", "home")
        .await
        .unwrap();
}

#[tokio::test]
async fn an_owner_who_mistypes_under_attack_waits_for_a_delay_and_no_longer() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    let from_home = async |password| {
        auth.login_from("ada@example.com", password, "198.51.100.1", "home")
            .await
    };
    from_home("not her passwrod").await.unwrap_err();
    let attacked = "update address_state set failures = 1000, last_failure_at = now()";
    auth.execute(attacked).await;
    assert_eq!(reason(from_home(PASSWORD).await), "INVALID_CREDENTIALS");
    auth.execute("update failed_logins set failed_at = now() - interval '61 seconds'")
        .await;
    auth.execute(attacked).await;
    from_home(PASSWORD).await.unwrap();
}

#[tokio::test]
async fn an_ipv6_site_is_one_network_however_it_numbers_its_devices() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    let from = async |address, password| {
        auth.login_from("ada@example.com", password, address, "home")
            .await
    };
    from("2001:db8:1:2::aaaa", "not her password")
        .await
        .unwrap_err();
    auth.execute("update address_state set failures = 1000")
        .await;
    let same = from("2001:db8:1:9:9:8:7:6", PASSWORD).await;
    assert_eq!(reason(same), "INVALID_CREDENTIALS");
    from("2001:db8:2:3::aaaa", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_spelling_that_is_another_address_opens_no_account_and_has_its_own_failures() {
    let auth = Auth::start().await;
    auth.signed_in("vivi@example.com").await;
    // PostgreSQL lowers this letter to an i, Rust does not.
    let other = "v\u{130}v\u{130}@example.com";
    assert_eq!(
        reason(auth.login(other, PASSWORD).await),
        "INVALID_CREDENTIALS"
    );
    auth.register(other).await.unwrap();
    let event = auth.events().await.pop().unwrap();
    assert_eq!(event.kind, "RegistrationRequested");
    let rows = auth
        .count("select count(*) from address_state where failures = 1")
        .await;
    assert_eq!(rows, 1);

    let token = auth.notification(event.id).await.unwrap().token;
    auth.complete(&token).await.unwrap();
    assert_eq!(auth.count("select count(*) from accounts").await, 2);
    auth.login("VIVI@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_hash_that_cannot_be_read_refuses_like_a_wrong_password() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    auth.execute("update accounts set password_hash = 'damaged'")
        .await;
    assert_eq!(
        reason(auth.login("ada@example.com", PASSWORD).await),
        "INVALID_CREDENTIALS"
    );
}

#[tokio::test]
async fn an_old_and_cheap_hash_does_not_tell_by_its_time_that_there_is_an_account() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    let mut stronger = identity();
    stronger.passwords.password_memory_kib = 64 * 1024;
    let stronger = Auth::over(auth.pool.clone(), stronger).await;
    let quickest = async |email: &str| {
        let mut quickest = Duration::MAX;
        for _ in 0..3 {
            let began = Instant::now();
            let refused = stronger.login(email, "not her password").await;
            assert_eq!(reason(refused), "INVALID_CREDENTIALS");
            quickest = quickest.min(began.elapsed());
        }
        quickest
    };
    let unknown = quickest("eve@example.com").await;
    let known = quickest("ada@example.com").await;
    // Without a floor it is a sixtieth.
    assert!(known * 2 > unknown, "{known:?} {unknown:?}");
}

#[tokio::test]
async fn an_unknown_address_is_delayed_like_a_known_one() {
    let auth = Auth::start().await;
    for _ in 0..3 {
        assert_eq!(
            reason(auth.login("nobody@example.com", PASSWORD).await),
            "INVALID_CREDENTIALS"
        );
    }
    assert_eq!(
        auth.count("select failures::bigint from address_state")
            .await,
        3
    );
}

#[tokio::test]
async fn a_hash_with_old_parameters_is_renewed_after_the_answer() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    let mut stronger = identity();
    stronger.passwords.password_memory_kib = 2048;
    let stronger = Auth::over(auth.pool.clone(), stronger).await;
    stronger.login("ada@example.com", PASSWORD).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while stronger
            .count("select count(*) from accounts where password_hash like '%m=2048%'")
            .await
            == 0
        {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    stronger.login("ada@example.com", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_hash_that_is_renewed_under_a_login_does_not_refuse_it() {
    let auth = Auth::start().await;
    auth.signed_in("ada@example.com").await;
    let mut stronger = identity();
    stronger.passwords.password_memory_kib = 2048;
    let stronger = Auth::over(auth.pool.clone(), stronger).await;
    let logins = (0..12).map(|_| stronger.login("ada@example.com", PASSWORD));
    for login in futures::future::join_all(logins).await {
        login.unwrap();
    }
}

#[tokio::test]
async fn logins_of_one_account_at_once_all_succeed_with_contiguous_versions() {
    let auth = Auth::start().await;
    let (account, _) = auth.signed_in("ada@example.com").await;
    let logins = (0..8).map(|_| auth.login("ada@example.com", PASSWORD));
    for login in futures::future::join_all(logins).await {
        assert_eq!(claims(&login.unwrap().tokens.unwrap())["sub"], account.id);
    }
    let versions: Vec<i64> = auth
        .history(&account.id)
        .await
        .into_iter()
        .map(|(_, version)| version)
        .collect();
    assert_eq!(versions, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn wrong_fields_are_refused_and_leave_nothing_behind() {
    let auth = Auth::start().await;
    for (email, password) in [
        ("", "x"),
        ("ada", "x"),
        ("ada@example.com", ""),
        ("ada@example.com", "x".repeat(257).as_str()),
    ] {
        assert_eq!(reason(auth.login(email, password).await), "INVALID_FIELD");
    }
    assert_eq!(auth.rows().await, 0);
}
