//! What every process may suffer from.

use telemetry::names::*;

use super::{RuleFile, Severity::*, alert};
use crate::elsewhere::*;

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "processes",
        rules: vec![
            alert(
                "ProcessDown",
                format!("min by (job, instance) ({UP}) < 1"),
                "1m",
                Page,
                "{{ $labels.job }} at {{ $labels.instance }} cannot be reached",
            ),
            alert(
                "ProcessNotReady",
                format!("min by (job, instance) ({READY}) < 1"),
                "3m",
                Page,
                "{{ $labels.job }} at {{ $labels.instance }} runs and is not ready",
            ),
            alert(
                "ProcessRestarting",
                format!("max by (job, instance) (changes({PROCESS_STARTED}[15m])) > 2"),
                "0m",
                Ticket,
                "{{ $labels.job }} at {{ $labels.instance }} began anew {{ $value }} times within a quarter of an hour",
            ),
            alert(
                "FilesRunningOut",
                format!("max by (job, instance) ({PROCESS_FILES} / {PROCESS_FILES_MAX}) > 0.8"),
                "5m",
                Ticket,
                "{{ $labels.job }} at {{ $labels.instance }} has {{ $value | humanizePercentage }} of the files that it may open",
            ),
            alert(
                "SpansLost",
                format!(
                    "(sum by (job) (rate({SPANS_EXPORTED}{{error_type!=''}}[5m])) or 0 * max by (job) ({READY})) > 0"
                ),
                "10m",
                Ticket,
                "The collector takes no traces of {{ $labels.job }}",
            ),
            alert(
                "CallsFailing",
                format!(
                    "(sum by (job) (rate({RPC_SERVER_CALL_DURATION}_count{{rpc_response_status_code=~'UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS'}}[5m])) or 0 * sum by (job) (rate({RPC_SERVER_CALL_DURATION}_count[5m])))\n/ (sum by (job) (rate({RPC_SERVER_CALL_DURATION}_count[5m])) > 0)\n> 0.01"
                ),
                "10m",
                Ticket,
                "{{ $value | humanizePercentage }} of the calls to {{ $labels.job }} fail by its own fault",
            ),
        ],
    }
}
