//! Sign-ins, and what gateways are told.

use telemetry::names::*;

use super::{RuleFile, Severity::*, alert};

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "auth",
        rules: vec![
            alert(
                "PasswordGuessing",
                format!(
                    "sum(rate({AUTH_LOGINS}{{outcome!='succeeded'}}[15m])) > 1\nand\nsum(rate({AUTH_LOGINS}{{outcome!='succeeded'}}[15m])) > 5 * sum(rate({AUTH_LOGINS}{{outcome='succeeded'}}[15m]))"
                ),
                "5m",
                Ticket,
                "{{ $value | humanize }} sign-ins a second are denied, more than five times of those that succeed",
            ),
            alert(
                "SignInsOverloaded",
                format!("sum by (job) (rate({AUTH_PASSWORD_REFUSALS}[5m])) > 0"),
                "5m",
                Page,
                "Sign-ins are turned away, because more come than passwords can be hashed",
            ),
            alert(
                "RefreshReuse",
                format!("sum(increase({AUTH_REFRESHES}{{outcome='reuse'}}[1h])) > 10"),
                "0m",
                Ticket,
                "{{ $value | humanize }} refresh tokens came back within an hour after they were replaced",
            ),
            alert(
                "TrustReadsFailing",
                format!("sum by (job, instance) (rate({AUTH_TRUST_READ_FAILURES}[1m])) > 0"),
                "1m",
                Page,
                "{{ $labels.instance }} cannot read keys and revocations, and tells gateways nothing",
            ),
        ],
    }
}
