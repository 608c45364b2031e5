//! The runs of `./dev chaos`, and what `./dev bench revocation` measures, in short.

use std::time::Duration;

use launcher::StackOptions;
use serde_json::json;
use tests::chaos::{restarts, rotation};
use tests::contracts_folder::ContractsFolder;
use tests::revocation::{Others, Watcher, let_notify};
use tests::stack::TestStack;

async fn start(
    name: &'static str,
    change: impl FnOnce(&mut StackOptions) + Send + 'static,
) -> TestStack {
    tokio::task::spawn_blocking(move || TestStack::start(name, change))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_to_a_restart_or_new_contracts_and_to_a_kill_only_what_was_under_way_and_cannot_be_repeated()
 {
    let contracts = ContractsFolder::new("restarts");
    let system = start("restarts", restarts::system(&contracts)).await;
    let plan = restarts::Plan {
        per_second: 40,
        seconds: 12,
        people: 7,
    };
    let report = restarts::run(system, &contracts, &plan).await;
    println!("{report}");
    assert_eq!(report.disturbances.len(), 12);
    assert!(report.requests.len() > 400, "{}", report.requests.len());
    let failures = report.failures();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_good_token_is_refused_at_either_gateway_while_keys_of_two_replicas_take_turns() {
    let plan = rotation::Plan {
        per_second: 40,
        lifetime: 5,
        rotations: 3,
        people: 7,
    };
    let lifetime = plan.lifetime;
    let system = start("turns", move |options| rotation::system(options, lifetime)).await;
    let report = rotation::run(system, &plan).await;
    println!("{report}");
    let failures = report.failures();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_holds_at_every_gateway_in_a_moment_even_when_its_announcement_is_lost() {
    let system = start("revocation", |_| {}).await;
    let others = Others::start(system.environment("auth"), system.environment("gateway")).await;
    let gateways = [
        system.stack.address("gateway").unwrap(),
        others.gateway.address,
    ];
    let person = system.sign_up().await;
    let login = json!({"email": person.email, "password": person.password});
    // Not so often that it would be over a limit.
    let pause = Duration::from_millis(50);
    for announced in [true, false] {
        let_notify(system.stack.instance(), announced)
            .await
            .unwrap();
        for near in [0, 1] {
            let signed_in = system
                .client()
                .post("/v1/sessions:login", login.clone())
                .await
                .ok();
            // From another address each time: the limit of one is at its production value.
            let number = 100 + u32::from(announced) * 2 + u32::try_from(near).unwrap();
            let mut watcher = Watcher::new(gateways, number, pause).await.unwrap();
            let token = signed_in["tokens"]["accessToken"].as_str().unwrap();
            let refusal = watcher.log_out(token, near).await.unwrap();
            println!("announced {announced}: {refusal:?}");
            let slowest = refusal.near.max(refusal.far);
            assert!(slowest < Duration::from_secs(2), "{refusal:?}");
        }
    }
}
