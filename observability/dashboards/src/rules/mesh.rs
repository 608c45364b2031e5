//! The sidecars of Linkerd.

use super::{RuleFile, Severity::*, alert};
use crate::elsewhere::*;

pub(super) fn file() -> RuleFile {
    RuleFile {
        name: "mesh",
        rules: vec![
            alert(
                "MeshEdgeFailing",
                format!(
                    "(sum by (client_id, srv_name) (rate({PROXY_RESPONSES}{{direction='inbound', tls='true', classification='failure'}}[5m])) or 0 * sum by (client_id, srv_name) (rate({PROXY_RESPONSES}{{direction='inbound', tls='true'}}[5m])))\n/ (sum by (client_id, srv_name) (rate({PROXY_RESPONSES}{{direction='inbound', tls='true'}}[5m])) > 0)\n> 0.01"
                ),
                "10m",
                Ticket,
                "{{ $value | humanizePercentage }} of the calls of {{ $labels.client_id }} to {{ $labels.srv_name }} fail",
            ),
            alert(
                "MeshDenied",
                format!("sum by (client_id, srv_name) (rate({PROXY_DENIED}[5m])) > 0"),
                "5m",
                Ticket,
                "{{ $labels.srv_name }} lets {{ $labels.client_id }} not in",
            ),
            alert(
                "MeshCertificateEnding",
                format!("min by (namespace, pod) ({PROXY_CERTIFICATE_END} - time()) < 14400"),
                "10m",
                Page,
                "The certificate of {{ $labels.pod }} ends in {{ $value | humanizeDuration }}",
            ),
        ],
    }
}
