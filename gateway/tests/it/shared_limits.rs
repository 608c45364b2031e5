//! Gateways that share budgets through a store, and what they do while it is away.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use testkit::Redis;

use crate::stack::{Answer, Stack, eventually};

/// Two gateways with this limit of addresses, both of which use the store.
async fn gateways(redis: &Redis, limit: &str) -> [Stack; 2] {
    let url = redis.url();
    let arguments = [
        "--limit-address",
        limit,
        "--trusted-proxies",
        "1",
        "--rate-limit-url",
        &url,
    ];
    let both = [Stack::with(&arguments).await, Stack::with(&arguments).await];
    for gateway in &both {
        until_shared(gateway, redis).await;
    }
    both
}

/// Asks for nothing that there is, as a client with that address.
async fn from(gateway: &Stack, address: &str) -> Answer {
    let headers = [("x-forwarded-for", address)];
    gateway
        .send_with(Method::GET, "/v1/nothing", None, &headers, None)
        .await
}

/// An address that nobody has come from.
fn stranger() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, high, low, last] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    format!("10.{high}.{low}.{last}")
}

/// The keys of clients in the store.
async fn keys(redis: &Redis) -> Vec<String> {
    let said = redis.ask("KEYS grimoire:limit:address:*").await;
    let keys = said.lines().filter(|line| line.starts_with("grimoire:"));
    keys.map(str::to_owned).collect()
}

async fn until_shared(gateway: &Stack, redis: &Redis) {
    eventually("a budget to be taken from the store", || async {
        let before = keys(redis).await.len();
        from(gateway, &stranger()).await;
        (keys(redis).await.len() > before).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_one_budget_at_all_gateways() {
    let redis = Redis::start().await;
    let [one, other] = gateways(&redis, "6/h").await;
    let client = stranger();
    for (gateway, left) in [&one, &other, &one].into_iter().zip([5, 4, 3]) {
        let answer = from(gateway, &client).await;
        answer.problem(404, "ROUTE_NOT_FOUND");
        assert_eq!(answer.header("ratelimit"), format!("\"address\";r={left}"));
    }
    // As after a restart of the store that keeps its data.
    redis.ask("SCRIPT FLUSH").await;
    for (gateway, left) in [&other, &one, &other].into_iter().zip([2, 1, 0]) {
        let answer = from(gateway, &client).await;
        answer.problem(404, "ROUTE_NOT_FOUND");
        assert!(
            answer
                .header("ratelimit")
                .starts_with(&format!("\"address\";r={left}"))
        );
    }
    for gateway in [&one, &other] {
        let refused = from(gateway, &client).await;
        refused.problem(429, "RATE_LIMITED");
        let seconds: u64 = refused.header("retry-after").parse().unwrap();
        assert!((590..=600).contains(&seconds), "{seconds}");
        assert_eq!(
            refused.header("ratelimit"),
            format!("\"address\";r=0;t={seconds}")
        );
    }
    from(&one, &stranger())
        .await
        .problem(404, "ROUTE_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_gateways_let_the_same_request_through() {
    let redis = Redis::start().await;
    let [one, other] = gateways(&redis, "3/h").await;
    let client = stranger();
    let both = [&one, &other].into_iter().cycle();
    let all = both.take(12).map(|gateway| from(gateway, &client));
    let answers = futures::future::join_all(all).await;
    let passed = answers.iter().filter(|answer| answer.status == 404).count();
    assert_eq!(passed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_does_not_learn_who_comes_and_forgets_when_they_are_whole_again() {
    let redis = Redis::start().await;
    let [one, _] = gateways(&redis, "6/min").await;
    let client = stranger();
    from(&one, &client).await;
    let keys = keys(&redis).await;
    for key in &keys {
        assert!(!key.contains(&client), "{key}");
        let ttl = redis.ask(&format!("PTTL {key}")).await;
        let ttl: i64 = ttl.trim_start_matches(':').trim_end().parse().unwrap();
        // -2: it is forgotten already.
        assert!(ttl == -2 || (1..=60_000).contains(&ttl), "{key}: {ttl}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_away_each_gateway_counts_for_itself_and_then_they_share_again() {
    let mut redis = Redis::start().await;
    let [one, other] = gateways(&redis, "3/h").await;
    redis.kill().await;
    let client = stranger();
    for gateway in [&one, &other] {
        for _ in 0..3 {
            from(gateway, &client).await.problem(404, "ROUTE_NOT_FOUND");
        }
        from(gateway, &client).await.problem(429, "RATE_LIMITED");
    }

    redis.restart().await;
    for gateway in [&one, &other] {
        until_shared(gateway, &redis).await;
    }
    let client = stranger();
    for gateway in [&one, &other, &one] {
        from(gateway, &client).await.problem(404, "ROUTE_NOT_FOUND");
    }
    from(&other, &client).await.problem(429, "RATE_LIMITED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_holds_up_nobody() {
    let redis = Redis::start().await;
    let [one, other] = gateways(&redis, "100/h").await;
    redis.hang();
    let client = stranger();
    for gateway in [&one, &other].into_iter().cycle().take(20) {
        let begun = Instant::now();
        from(gateway, &client).await.problem(404, "ROUTE_NOT_FOUND");
        // 50 ms, once; the rest is what a busy machine takes.
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    redis.go_on();
    for gateway in [&one, &other] {
        until_shared(gateway, &redis).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_is_as_good_as_away() {
    let redis = Redis::start().await;
    let [one, other] = gateways(&redis, "1/h").await;
    // Its main server is nowhere, and it takes no writes.
    redis.ask("REPLICAOF 127.0.0.1 1").await;
    let client = stranger();
    for gateway in [&one, &other] {
        from(gateway, &client).await.problem(404, "ROUTE_NOT_FOUND");
        from(gateway, &client).await.problem(429, "RATE_LIMITED");
    }
    redis.ask("REPLICAOF NO ONE").await;
    for gateway in [&one, &other] {
        until_shared(gateway, &redis).await;
    }
}
