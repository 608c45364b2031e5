//! The edge.

use telemetry::names::*;

use super::{RuleFile, Severity::*, alert};

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "gateway",
        rules: vec![
            alert(
                "TrustStale",
                format!("max by (job, instance) ({GATEWAY_TRUST_AGE}) > 5"),
                "30s",
                Page,
                "What {{ $labels.instance }} knows of keys and revocations is {{ $value | humanizeDuration }} old",
            ),
            alert(
                "UpstreamFailing",
                format!(
                    "(sum by (job, server_address) (rate({RPC_CLIENT_CALL_DURATION}_count{{rpc_response_status_code=~'UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS'}}[5m])) or 0 * sum by (job, server_address) (rate({RPC_CLIENT_CALL_DURATION}_count[5m])))\n/ (sum by (job, server_address) (rate({RPC_CLIENT_CALL_DURATION}_count[5m])) > 0)\n> 0.05"
                ),
                "5m",
                Ticket,
                "{{ $value | humanizePercentage }} of the calls of {{ $labels.job }} to {{ $labels.server_address }} fail",
            ),
            alert(
                "ConnectionsRefused",
                format!(
                    "sum by (job) (rate({GATEWAY_CONNECTIONS_REFUSED}{{bound='altogether'}}[5m])) > 0"
                ),
                "2m",
                Ticket,
                "The gateway has no place for more connections",
            ),
            alert(
                "LimitsNotShared",
                format!("max by (job, instance) ({GATEWAY_LIMIT_STORE_AWAY}) > 0"),
                "2m",
                Ticket,
                "{{ $labels.instance }} counts limits for itself alone: the store that gateways share them through is away",
            ),
            alert(
                "PlanRefused",
                format!("max by (job, instance) ({GATEWAY_PLAN_REFUSED}) > 0"),
                "2m",
                Ticket,
                "{{ $labels.instance }} refuses what its folder of contracts has",
            ),
        ],
    }
}
