//! Rows that several dashboards have.

use telemetry::names::*;

use crate::elsewhere::*;
use crate::panel::{Row, Target, line, lines, row};
use crate::query::*;

/// Half, most and nearly all of what a histogram has seen.
pub(super) fn percentiles(histogram: &str, filter: &str) -> Vec<Target> {
    vec![
        line("p50", quantile("0.5", histogram, filter, "")),
        line("p95", quantile("0.95", histogram, filter, "")),
        line("p99", quantile("0.99", histogram, filter, "")),
    ]
}

/// Calls that a service answers.
pub(super) fn served(job: &str) -> Row {
    // Streams last as long as those who listen.
    let calls_with_an_end = both(job, "rpc_method!~'.*/(Follow|Watch|ServerReflectionInfo)'");
    row(
        "Calls that it answers",
        [
            lines(
                "Calls by method",
                "reqps",
                "a method that falls silent, or one that grows without a cause.",
                "CallsFailing",
                [line(
                    "{{rpc_method}}",
                    format!(
                        "topk(8, {})",
                        calls(RPC_SERVER_CALL_DURATION, job, "rpc_method")
                    ),
                )],
            ),
            lines(
                "Failures that are ours, by method",
                "percentunit",
                "above 1 %: INTERNAL, UNAVAILABLE or DEADLINE_EXCEEDED reach clients as 5xx.",
                "CallsFailing",
                [line(
                    "{{rpc_method}}",
                    share(
                        &format!("{RPC_SERVER_CALL_DURATION}_count"),
                        OURS,
                        job,
                        "rpc_method",
                    ),
                )],
            )
            .bad_above(0.01),
            lines(
                "Duration",
                "s",
                "a p99 above 250 ms: the gateway's latency budget burns.",
                "GatewayLatencyBurnFast",
                percentiles(RPC_SERVER_CALL_DURATION, &calls_with_an_end),
            )
            .bad_above(0.25),
            lines(
                "Calls under way",
                "short",
                "a number that grows and does not fall: calls hang, or more come than are answered.",
                "CallsFailing",
                [line(
                    "{{instance}}",
                    sum(RPC_SERVER_ACTIVE_CALLS, job, "instance"),
                )],
            ),
        ],
    )
}

/// Calls that a process makes to others.
pub(super) fn called(job: &str) -> Row {
    row(
        "Calls that it makes",
        [
            lines(
                "Calls by process",
                "reqps",
                "a process that is called no more, while requests come.",
                "UpstreamFailing",
                [line(
                    "{{server_address}}",
                    calls(RPC_CLIENT_CALL_DURATION, job, "server_address"),
                )],
            ),
            lines(
                "Failures that are not the caller's, by process",
                "percentunit",
                "above 5 %: that process is away, too slow, or broken.",
                "UpstreamFailing",
                [line(
                    "{{server_address}}",
                    share(
                        &format!("{RPC_CLIENT_CALL_DURATION}_count"),
                        OURS,
                        job,
                        "server_address",
                    ),
                )],
            )
            .bad_above(0.05),
            lines(
                "Duration by process, p95",
                "s",
                "one process that is slower than before: look at its own dashboard.",
                "UpstreamFailing",
                [line(
                    "{{server_address}}",
                    quantile("0.95", RPC_CLIENT_CALL_DURATION, job, "server_address"),
                )],
            ),
        ],
    )
}

/// The outbox of a service, shortly; the dashboard of events has the rest.
pub(super) fn outbox(job: &str) -> Row {
    row(
        "Its outbox",
        [
            lines(
                "Oldest event that is not in Kafka",
                "s",
                "above a minute, or growing: events do not reach Kafka.",
                "OutboxStalled",
                [line("age", max(OUTBOX_OLDEST_UNPUBLISHED, job, ""))],
            )
            .bad_above(60.0),
            lines(
                "Events that are not in Kafka",
                "short",
                "a number that grows: events are written faster than they are published, or not published at all.",
                "OutboxBacklog",
                [line("events", max(OUTBOX_UNPUBLISHED, job, ""))],
            ),
            lines(
                "Published",
                "ops",
                "nothing, while requests change things.",
                "OutboxStalled",
                [line("events", rate(OUTBOX_PUBLISHED, job, ""))],
            ),
            lines(
                "Replicas that publish",
                "short",
                "0 for more than some seconds: nobody publishes.",
                "OutboxLeaseless",
                [line("leases", sum(OUTBOX_LEASE_HELD, job, ""))],
            )
            .bad_below(1.0),
        ],
    )
}

/// The database of a service, shortly; the dashboard of databases has the rest.
pub(super) fn database(job: &str) -> Row {
    row(
        "Its database",
        [
            lines(
                "Connections",
                "short",
                "`used` at the height of `most`: callers wait for a connection.",
                "PoolExhausted",
                [
                    line(
                        "{{db_client_connection_state}}",
                        sum(DB_CONNECTIONS, job, "db_client_connection_state"),
                    ),
                    line("most", sum(DB_CONNECTIONS_MAX, job, "")),
                ],
            ),
            lines(
                "Wait for a connection, p99",
                "s",
                "more than some milliseconds: the pool is too small, or statements are slow.",
                "ConnectionsWaitedFor",
                [line("p99", quantile("0.99", DB_CONNECTION_WAIT, job, ""))],
            )
            .bad_above(0.1),
            lines(
                "Statements, p95",
                "s",
                "one kind that is slower than before.",
                "StatementsSlow",
                [line(
                    "{{db_operation_name}}",
                    quantile("0.95", DB_OPERATION_DURATION, job, "db_operation_name"),
                )],
            )
            .bad_above(0.25),
            lines(
                "Statements by kind",
                "ops",
                "ROLLBACK that grows: transactions are given up.",
                "StatementsSlow",
                [line(
                    "{{db_operation_name}}",
                    calls(DB_OPERATION_DURATION, job, "db_operation_name"),
                )],
            ),
        ],
    )
}

/// The process itself.
pub(super) fn process(job: &str) -> Row {
    row(
        "The process",
        [
            lines(
                "Ready",
                "short",
                "0 for longer than a start or a stop takes: `/readyz` names what is missing.",
                "ProcessNotReady",
                [line("{{instance}}", max(READY, job, "instance"))],
            )
            .bad_below(1.0),
            lines(
                "Starts within the hour",
                "short",
                "more than deployments explain: the process dies and is started again.",
                "ProcessRestarting",
                [line(
                    "{{instance}}",
                    sum(
                        &format!("changes({PROCESS_STARTED}{{{job}}}[1h])"),
                        "",
                        "instance",
                    ),
                )],
            ),
            lines(
                "Versions",
                "short",
                "two versions for longer than a deployment takes.",
                "ProcessRestarting",
                [line("{{version}}", sum(BUILD_INFO, job, "version"))],
            ),
            lines(
                "Memory",
                "bytes",
                "growth over days without growth of traffic.",
                "ProcessRestarting",
                [line("{{instance}}", max(PROCESS_MEMORY, job, "instance"))],
            ),
            lines(
                "Processor",
                "short",
                "as many seconds in a second as it may have: it is the processor that requests wait for.",
                "GatewayLatencyBurnFast",
                [line(
                    "{{instance}}",
                    sum(&format!("rate({PROCESS_CPU}{{{job}}}[5m])"), "", "instance"),
                )],
            ),
            lines(
                "Threads",
                "short",
                "growth without an end.",
                "ProcessRestarting",
                [line("{{instance}}", max(PROCESS_THREADS, job, "instance"))],
            ),
            lines(
                "Open files",
                "percentunit",
                "above 80 % of what it may have: soon no connection can be opened.",
                "FilesRunningOut",
                [line(
                    "{{instance}}",
                    format!("{PROCESS_FILES}{{{job}}} / {PROCESS_FILES_MAX}{{{job}}}"),
                )],
            )
            .bad_above(0.8),
            lines(
                "Spans that were lost",
                "ops",
                "anything above 0: the collector does not take traces. Requests do not suffer.",
                "SpansLost",
                [line(
                    "lost",
                    or_zero(rate(SPANS_EXPORTED, &both(job, "error_type!=''"), "")),
                )],
            ),
        ],
    )
}
