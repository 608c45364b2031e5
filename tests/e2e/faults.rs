//! Nothing acknowledged is lost and nothing takes effect twice, whatever is killed.

use std::time::Duration;

use tests::faults::{Plan, run, settle};
use tests::stack::TestStack;

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {value}"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_killed_each_acknowledged_change_takes_effect_once_and_in_order() {
    let system = tokio::task::spawn_blocking(|| TestStack::start("faults", |_| {}))
        .await
        .unwrap();
    let seed = u64::from(number("FAULTS_SEED", 1));
    let plan = Plan::seeded(
        number("FAULTS_PEOPLE", 60) as usize,
        number("FAULTS_PER_SECOND", 4),
        number("FAULTS_EACH", 1),
        seed,
    );
    let (people, kills) = run(&system, &plan).await;
    let (observed, violations) = settle(&system, &people, Duration::from_secs(90)).await;
    println!(
        "seed {seed}: {} people, {} records, {} mails",
        people.len(),
        observed.published.len(),
        observed.mails.len()
    );
    for kill in &kills {
        println!(
            "{:>8.3} s  kill -9 {:<24} {} calls in flight",
            kill.at.as_secs_f64(),
            kill.processes.join(" "),
            kill.in_flight
        );
    }
    assert_eq!(violations, [], "seed {seed}");
}
