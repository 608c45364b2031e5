//! Every process is restarted in turn while traffic goes on, then killed. Two gateways stand behind a load balancer; of each service there is
//! one process, so that its port is away for a while each time. Both gateways follow a folder of contracts, which changes after either round.
//!
//! No request may be lost, but for those that may not be repeated and were under way to a process when it was killed. None may hang.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use grimoire_proto::{DESCRIPTOR_SET, descriptors};
use launcher::{Signal, Stack, StackOptions};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::json;
use tokio::time::MissedTickBehavior;

use crate::contracts_folder::ContractsFolder;
use crate::program::Replica;
use crate::report::{Table, milliseconds, percentile};
use crate::rest::Client;
use crate::stack::{TestStack, eventually, set, under_load};
use crate::traffic::{Mix, Outcome, People, Place, Request, Traffic};

#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Requests in a second
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub per_second: u32,
    /// Seconds in which every process is restarted and contracts change, and again in which every process is killed and they change
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// Accounts that ask
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub people: u32,
}

/// The gateway that the launcher does not know.
const SECOND_GATEWAY: &str = "gateway 2";
const PROCESSES: [&str; 5] = ["auth", "user", "event-consumer", "gateway", SECOND_GATEWAY];
const CONTRACTS: &str = "contracts";
/// How long gateways say that they stop before they do: a load balancer has to notice.
const DRAIN: u32 = 1;
/// A process is not gone, and those who are connected to it do not know, at the instant at which it is killed.
const DIES_WITHIN: Duration = Duration::from_millis(100);
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What is done to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGTERM: it may end what it does.
    Restart,
    /// SIGKILL.
    Kill,
    /// Both gateways replace their plan by one that has a service more or less.
    Reload,
}

/// Something that was done.
#[derive(Debug)]
pub struct Disturbance {
    pub process: &'static str,
    pub fault: Fault,
    /// Since the traffic began.
    pub at: Duration,
    /// How long until the process was ready again, or until both gateways had the new plan.
    pub took: Duration,
}

/// What was done, and what became of every request.
pub struct Report {
    pub disturbances: Vec<Disturbance>,
    pub requests: Vec<Request>,
}

/// How the system is started: by this function of the folder.
pub fn system(contracts: &ContractsFolder) -> impl FnOnce(&mut StackOptions) + Send + use<> {
    let contracts = contracts.setting();
    move |options| {
        options.environment.extend(under_load());
        let drain = ("GRIMOIRE_DRAIN_DELAY", DRAIN.to_string());
        set(options, "gateway", &[drain, contracts]);
    }
}

/// Carries the plan out.
pub async fn run(system: TestStack, contracts: &ContractsFolder, plan: &Plan) -> Report {
    let mut orders = Orders::new(contracts);
    let people = People::sign_up(&system, plan.people as usize).await;
    let mut second = Replica::start("gateway", system.environment("gateway")).await;
    let gateways = [
        Place {
            address: system.stack.address("gateway").expect("it serves"),
            admin: system.stack.admin_address("gateway").expect("it says so"),
        },
        Place {
            address: second.address,
            admin: second.admin,
        },
    ];
    let system = Arc::new(system);
    let traffic = Traffic::begin(&gateways, people, Mix::Everything, plan.per_second);
    let round = |fault| PROCESSES.map(|process| (process, fault)).into_iter();
    let reload = [(CONTRACTS, Fault::Reload)];
    let faults = round(Fault::Restart)
        .chain(reload)
        .chain(round(Fault::Kill))
        .chain(reload);
    let mut beat = tokio::time::interval(Duration::from_secs(plan.seconds.into()) / 6);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first part belongs to nothing.
    beat.tick().await;
    let mut disturbances = Vec::new();
    for (process, fault) in faults {
        beat.tick().await;
        let at = traffic.elapsed();
        match fault {
            Fault::Restart if process == SECOND_GATEWAY => second.restart(Signal::SIGTERM).await,
            Fault::Kill if process == SECOND_GATEWAY => second.restart(Signal::SIGKILL).await,
            Fault::Restart => restart(&system, process).await,
            Fault::Kill => kill(&system, process).await,
            Fault::Reload => orders.reload(&gateways).await,
        }
        let took = traffic.elapsed() - at;
        eprintln!("{fault} {process}: ready after {} ms", took.as_millis());
        disturbances.push(Disturbance {
            process,
            fault,
            at,
            took,
        });
    }
    beat.tick().await;
    Report {
        disturbances,
        requests: traffic.end().await,
    }
}

/// A contract that the folder has or has not.
struct Orders<'a> {
    folder: &'a ContractsFolder,
    set: Vec<u8>,
    served: bool,
}

impl<'a> Orders<'a> {
    fn new(folder: &'a ContractsFolder) -> Self {
        Self {
            folder,
            set: set_of_orders(),
            served: false,
        }
    }

    /// Adds it or takes it away, and waits until both gateways serve it or no longer do.
    async fn reload(&mut self, gateways: &[Place]) {
        const SET: &str = "orders.binpb";
        const UPSTREAMS: &str = "upstreams.yaml";
        self.served = !self.served;
        if self.served {
            // Nobody calls it.
            self.folder.put(UPSTREAMS, "orders: http://127.0.0.1:9\n");
            self.folder.put(SET, &self.set);
        } else {
            self.folder.remove(SET);
            self.folder.remove(UPSTREAMS);
        }
        // A route asks for a token.
        let expected = if self.served { 401 } else { 404 };
        for gateway in gateways {
            let client = Client::new(&format!("http://{}", gateway.address));
            eventually("a reload of contracts", || async {
                let answer = client.get("/v1/orders/7").await;
                (answer.status.as_u16() == expected).then_some(())
            })
            .await;
        }
    }
}

/// A contract of one method, with all that it imports.
fn set_of_orders() -> Vec<u8> {
    let set = descriptors().get_message_by_name("google.protobuf.FileDescriptorSet");
    let described = json!({"file": [{
        "name": "acme/orders.proto",
        "package": "acme",
        "syntax": "proto3",
        "dependency": ["google/api/annotations.proto", "grimoire/options/v1/options.proto"],
        "messageType": [{"name": "Order", "field": [
            {"name": "id", "number": 1, "label": "LABEL_OPTIONAL", "type": "TYPE_STRING", "jsonName": "id"},
        ]}],
        "service": [{
            "name": "OrderService",
            "options": {"[grimoire.options.v1.upstream]": "orders"},
            "method": [{
                "name": "GetOrder",
                "inputType": ".acme.Order",
                "outputType": ".acme.Order",
                "options": {
                    "idempotencyLevel": "NO_SIDE_EFFECTS",
                    "[google.api.http]": {"get": "/v1/orders/{id}"},
                    "[grimoire.options.v1.access]": {"level": "LEVEL_SIGNED_IN"},
                },
            }],
        }],
    }]});
    let order = DynamicMessage::deserialize(set.expect("it is imported"), described);
    // Sets behind each other are one.
    [DESCRIPTOR_SET, &order.expect("a set").encode_to_vec()].concat()
}

/// Lets a process end and starts it again. It is ready then.
async fn restart(system: &Arc<TestStack>, process: &'static str) {
    blocking(system, process, move |stack| stack.restart(process)).await;
}

/// Kills a process, and waits until the launcher has started it again and it is ready.
async fn kill(system: &Arc<TestStack>, process: &'static str) {
    blocking(system, process, move |stack| {
        let restarts = stack.records()[process].restarts;
        stack.kill(process, Signal::SIGKILL)?;
        stack.wait_ready_after(process, restarts, READY_WITHIN)
    })
    .await;
}

async fn blocking(
    system: &Arc<TestStack>,
    process: &str,
    done: impl FnOnce(&Stack) -> anyhow::Result<()> + Send + 'static,
) {
    let system = Arc::clone(system);
    tokio::task::spawn_blocking(move || done(&system.stack))
        .await
        .expect("nothing panicked")
        .unwrap_or_else(|error| panic!("{process} does not come back: {error:#}"));
}

impl Disturbance {
    /// Whether a request may have been under way to the process when it was killed.
    fn may_have_cost(&self, request: &Request) -> bool {
        let on_the_way = request.kind.service() == self.process
            || self.process == "gateway"
            || self.process == SECOND_GATEWAY;
        self.fault == Fault::Kill
            && on_the_way
            && request.sent <= self.at + DIES_WITHIN
            && request.sent + request.took >= self.at
    }
}

impl Report {
    /// Requests that were not answered as they should be, and why that is no excuse.
    pub fn failures(&self) -> Vec<&Request> {
        let failed = self.requests.iter();
        failed
            .filter(|request| request.outcome != Outcome::Answered && !self.excused(request))
            .collect()
    }

    fn excused(&self, request: &Request) -> bool {
        let mut disturbances = self.disturbances.iter();
        request.outcome != Outcome::Answered
            && request.outcome != Outcome::Hung
            && !request.kind.repeatable()
            && disturbances.any(|disturbance| disturbance.may_have_cost(request))
    }

    fn row(
        &self,
        what: String,
        took: Option<Duration>,
        from: Duration,
        until: Duration,
    ) -> [String; 9] {
        let requests = self.requests.iter();
        let requests: Vec<&Request> = requests
            .filter(|request| request.sent >= from && request.sent < until)
            .collect();
        let mut latencies: Vec<Duration> = requests.iter().map(|request| request.took).collect();
        latencies.sort_unstable();
        let count = |counts: &dyn Fn(&Request) -> bool| {
            let counted = requests.iter().filter(|&&request| counts(request));
            counted.count().to_string()
        };
        [
            what,
            took.map(milliseconds).unwrap_or_default(),
            count(&|request| request.outcome == Outcome::Answered),
            count(&|request| self.excused(request)),
            count(&|request| {
                matches!(request.outcome, Outcome::Refused(_) | Outcome::Lost(_))
                    && !self.excused(request)
            }),
            count(&|request| request.outcome == Outcome::Hung),
            milliseconds(percentile(&latencies, 0.5)),
            milliseconds(percentile(&latencies, 0.99)),
            milliseconds(latencies.last().copied().unwrap_or_default()),
        ]
    }
}

/// Phases, each of which begins with what was done; then each request that was not answered; then the verdict.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            "phase",
            "ready again ms",
            "answered",
            "cut off",
            "lost",
            "hung",
            "p50 ms",
            "p99 ms",
            "max ms",
        ]);
        let begins = self.disturbances.iter().map(|disturbance| disturbance.at);
        let ends: Vec<Duration> = begins.chain([Duration::MAX]).collect();
        table.row(self.row("nothing".to_owned(), None, Duration::ZERO, ends[0]));
        for (disturbance, end) in self.disturbances.iter().zip(&ends[1..]) {
            let what = format!("{} {}", disturbance.fault, disturbance.process);
            let took = Some(disturbance.took);
            table.row(self.row(what, took, disturbance.at, *end));
        }
        writeln!(formatter, "{table}")?;
        let failed = self.requests.iter();
        for request in failed.filter(|request| request.outcome != Outcome::Answered) {
            let before = self.disturbances.iter().rev();
            let mut before =
                before.filter(|disturbance| disturbance.at <= request.sent + request.took);
            let after = before.next().map_or("nothing".to_owned(), |last| {
                format!(
                    "{} {} at {:.3} s",
                    last.fault,
                    last.process,
                    last.at.as_secs_f64()
                )
            });
            let kind = if self.excused(request) {
                "cut off"
            } else {
                "LOST"
            };
            writeln!(
                formatter,
                "{:>8.3} s  {:<26} {kind} after {} ms, after {after}: {}",
                request.sent.as_secs_f64(),
                request.kind,
                milliseconds(request.took),
                request.outcome,
            )?;
        }
        let requests = self.requests.len();
        match self.failures().len() {
            0 => write!(formatter, "none of {requests} requests was lost"),
            lost => write!(formatter, "{lost} of {requests} requests were lost"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Restart => "SIGTERM",
            Self::Kill => "SIGKILL",
            Self::Reload => "reload of",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Kind;

    fn lost(kind: Kind, sent: u64, took: u64) -> Request {
        Request {
            kind,
            sent: Duration::from_millis(sent),
            took: Duration::from_millis(took),
            outcome: Outcome::Lost("cut".to_owned()),
        }
    }

    #[test]
    fn a_change_may_be_lost_that_was_under_way_to_a_process_when_it_was_killed_and_nothing_else() {
        let disturbance = |process, fault, at| Disturbance {
            process,
            fault,
            at: Duration::from_millis(at),
            took: Duration::from_millis(300),
        };
        let report = |request| Report {
            disturbances: vec![
                disturbance("user", Fault::Restart, 1000),
                disturbance("user", Fault::Kill, 5000),
                disturbance(SECOND_GATEWAY, Fault::Kill, 9000),
            ],
            requests: vec![request],
        };
        let failures = |request| report(request).failures().len();
        assert_eq!(failures(lost(Kind::UpdateProfile, 4990, 20)), 0);
        assert_eq!(failures(lost(Kind::UpdateProfile, 5050, 5)), 0);
        assert_eq!(failures(lost(Kind::Login, 8999, 40)), 0);
        // Too early, too late, on another way, one that can be repeated, and a restart.
        assert_eq!(failures(lost(Kind::UpdateProfile, 4900, 20)), 1);
        assert_eq!(failures(lost(Kind::UpdateProfile, 5200, 20)), 1);
        assert_eq!(failures(lost(Kind::Login, 4990, 20)), 1);
        assert_eq!(failures(lost(Kind::GetProfile, 4990, 20)), 1);
        assert_eq!(failures(lost(Kind::UpdateProfile, 990, 20)), 1);
        let hung = Request {
            outcome: Outcome::Hung,
            ..lost(Kind::UpdateProfile, 4990, 12_000)
        };
        assert_eq!(failures(hung), 1);
    }
}
