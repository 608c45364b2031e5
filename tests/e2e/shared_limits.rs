//! Two gateways, and the store through which they share limits: their metrics say when they do not.

use serde_json::json;
use testkit::Redis;
use tests::program::Replica;
use tests::rest::{Client, next_address};
use tests::stack::{eventually, shared};

const AWAY: &str = "gateway_limit_store_away";
const FALLBACKS: &str = "gateway_limit_fallbacks_total";

async fn until_away(gateways: &[Replica], away: f64) {
    for gateway in gateways {
        eventually("the store to come or go", || async {
            (gateway.metric(AWAY).await == away).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_tried_ten_times_a_minute_however_many_gateways_there_are() {
    let system = shared().await;
    let mut redis = Redis::start().await;
    let mut environment = system.environment("gateway");
    environment.insert("RATE_LIMIT_URL".to_owned(), redis.url());
    let gateways = [
        Replica::start("gateway", environment.clone()).await,
        Replica::start("gateway", environment).await,
    ];
    until_away(&gateways, 0.0).await;

    // What anybody may try at both together, before one of them refuses.
    let tries = async || {
        let (address, email) = (next_address(), system.address());
        let mut tried = 0;
        for gateway in gateways.iter().cycle() {
            let client = Client::from_address(&gateway.url(), address);
            let wrong = json!({"email": email, "password": "not the secret 17"});
            let answer = client.post("/v1/sessions:login", wrong).await;
            if answer.status == 429 {
                answer.problem(429, "RATE_LIMITED");
                break;
            }
            answer.problem(401, "INVALID_CREDENTIALS");
            tried += 1;
        }
        tried
    };
    // Some more where it takes longer than the six seconds in which one comes back.
    let at_once = 10..=15;
    let tried = tries().await;
    assert!(at_once.contains(&tried), "{tried}");
    for gateway in &gateways {
        assert_eq!(gateway.metric(FALLBACKS).await, 0.0);
    }

    redis.kill().await;
    until_away(&gateways, 1.0).await;
    let tried = tries().await;
    assert!(tried > *at_once.end(), "{tried}: each counts for itself");
    for gateway in &gateways {
        assert!(gateway.metric(FALLBACKS).await > 0.0);
    }

    redis.restart().await;
    until_away(&gateways, 0.0).await;
    let tried = tries().await;
    assert!(at_once.contains(&tried), "{tried}");
}
