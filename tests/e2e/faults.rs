//! Nothing acknowledged is lost and nothing takes effect twice, whatever is killed; and the checker that says so finds faults that
//! are planted.

use std::time::Duration;

use tests::faults::{Plan, run};
use tests::history::{Person, Violation};
use tests::observe::{publish_again, settle};
use tests::planted::{Fault, PlantedSystem, Programs, Victim};
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
    let each = number("FAULTS_EACH", 1);
    let plan = Plan::seeded(
        number("FAULTS_PEOPLE", 60) as usize,
        number("FAULTS_PER_SECOND", 4),
        each,
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
    for process in ["event-consumer", "user", "auth", "kafka"] {
        let killed = kills.iter().flat_map(|kill| &kill.processes);
        let killed = killed.filter(|killed| **killed == process).count();
        assert!(
            killed >= each as usize,
            "{process} was killed {killed} times"
        );
    }
    assert_eq!(violations, [], "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_repeats_and_deaths_in_the_worst_moment_harm_nothing() {
    let planted = start("no-fault", None).await;
    let mut people = one_comes_and_everything_is_published_again(&planted).await;
    for victim in [Victim::User, Victim::EventConsumer] {
        people.extend(planted.with_death(victim, one_comes(&planted)).await);
    }
    assert_eq!(violations(&planted, &people).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_check_that_is_off_is_found_by_events_that_take_effect_again() {
    let planted = start("no-version-check", Some(Fault::VersionCheckOff)).await;
    let people = one_comes_and_everything_is_published_again(&planted).await;
    found(
        &violations(&planted, &people).await,
        &[
            "has 2 effects of the kind journal entry",
            "journal entries: ",
        ],
        &[],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_written_before_delivery_is_found_by_events_that_kafka_lacks() {
    let planted = start("early-cursor", Some(Fault::CursorBeforeDelivery)).await;
    let people = planted.with_death(Victim::User, one_comes(&planted)).await;
    found(
        &violations(&planted, &people).await,
        &[
            "version 1 was committed and never published",
            "0 ProfileUpdated for 1 updates",
        ],
        &[],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_is_committed_before_the_effect_is_found_by_effects_that_are_missing() {
    let planted = start("early-offset", Some(Fault::OffsetBeforeEffect)).await;
    let people = planted
        .with_death(Victim::EventConsumer, one_comes(&planted))
        .await;
    found(
        &violations(&planted, &people).await,
        &["has 0 effects of the kind journal entry"],
        // The other subscribers make the same mistake and die with the journal, perhaps in the middle too.
        &["has 0 effects of the kind "],
    );
}

async fn start(name: &'static str, fault: Option<Fault>) -> PlantedSystem {
    let programs = Programs {
        user: env!("CARGO_BIN_EXE_planted-user"),
        event_consumer: env!("CARGO_BIN_EXE_planted-event-consumer"),
    };
    tokio::task::spawn_blocking(move || PlantedSystem::start(name, programs, fault))
        .await
        .unwrap()
}

/// Somebody registers, completes, and changes the profile once.
async fn one_comes(planted: &PlantedSystem) -> Vec<Person> {
    run(&planted.system, &Plan::of_one()).await.0
}

async fn one_comes_and_everything_is_published_again(planted: &PlantedSystem) -> Vec<Person> {
    let people = one_comes(planted).await;
    assert_eq!(violations(planted, &people).await, []);
    publish_again(&planted.system).await;
    people
}

async fn violations(planted: &PlantedSystem, people: &[Person]) -> Vec<Violation> {
    settle(&planted.system, people, Duration::from_secs(45))
        .await
        .1
}

/// Panics unless there are violations of each of these kinds, and of no other but those that may be.
fn found(violations: &[Violation], must: &[&str], may: &[&str]) {
    println!("{violations:#?}");
    for kind in must {
        assert!(
            violations
                .iter()
                .any(|violation| violation.0.contains(kind)),
            "not found: {kind}"
        );
    }
    for violation in violations {
        assert!(
            must.iter()
                .chain(may)
                .any(|kind| violation.0.contains(kind)),
            "another violation: {violation}"
        );
    }
}
