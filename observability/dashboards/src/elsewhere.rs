//! Metrics that are not ours: what the prometheus crate tells of a process, what Prometheus tells of itself, and what Linkerd's proxy
//! tells. Names of the proxy are those of edge-26.8.

/// Bytes of memory that the process has.
pub const PROCESS_MEMORY: &str = "process_resident_memory_bytes";
/// Counter: seconds on a processor, whole ones.
pub const PROCESS_CPU: &str = "process_cpu_seconds_total";
/// Open files and connections.
pub const PROCESS_FILES: &str = "process_open_fds";
/// Files and connections that may be open.
pub const PROCESS_FILES_MAX: &str = "process_max_fds";
/// Threads.
pub const PROCESS_THREADS: &str = "process_threads";
/// When the process began, in seconds since 1970.
pub const PROCESS_STARTED: &str = "process_start_time_seconds";

/// Whether the last scrape worked.
pub const UP: &str = "up";
/// Alerts that are pending or fire, by `alertname`, `alertstate` and their labels.
pub const ALERTS: &str = "ALERTS";

/// Counter: requests, by `direction`, `tls`, and who: `client_id` where inbound, `dst_service` where outbound.
pub const PROXY_REQUESTS: &str = "request_total";
/// Counter: responses; the labels of requests, with `classification`, `status_code` and `grpc_status`.
pub const PROXY_RESPONSES: &str = "response_total";
/// Histogram, milliseconds: the labels of requests.
pub const PROXY_LATENCY: &str = "response_latency_ms";
/// Counter: inbound requests that a policy allowed, by `client_id`, `srv_name`, `route_name`, `authz_name`.
pub const PROXY_ALLOWED: &str = "inbound_http_authz_allow_total";
/// Counter: inbound requests that no policy allowed, by `client_id`, `srv_name`, `route_name`.
pub const PROXY_DENIED: &str = "inbound_http_authz_deny_total";
/// Counter: inbound requests that no route matched, by `client_id`, `srv_name`.
pub const PROXY_UNROUTED: &str = "inbound_http_route_not_found_total";
/// Counter: outbound calls, by `parent_name`, `route_name`, `grpc_status`, `error`.
pub const PROXY_ROUTE_STATUSES: &str = "outbound_grpc_route_request_statuses_total";
/// Histogram, seconds: outbound calls until their answer is over, by `parent_name`, `route_name`.
pub const PROXY_ROUTE_DURATION: &str = "outbound_grpc_route_request_duration_seconds";
/// Counter: outbound calls that were sent once more, by `parent_name`, `route_name`.
pub const PROXY_RETRIES: &str = "outbound_grpc_route_retry_requests_total";
/// When the certificate of this proxy ends, in seconds since 1970.
pub const PROXY_CERTIFICATE_END: &str = "control_identity_cert_expiration_timestamp_seconds";
/// Counter: new certificates, by `result` (ok, error).
pub const PROXY_CERTIFICATES: &str = "control_identity_cert_refreshes_total";

/// All of them.
pub const ALL: &[&str] = &[
    PROCESS_MEMORY,
    PROCESS_CPU,
    PROCESS_FILES,
    PROCESS_FILES_MAX,
    PROCESS_THREADS,
    PROCESS_STARTED,
    UP,
    ALERTS,
    PROXY_REQUESTS,
    PROXY_RESPONSES,
    PROXY_LATENCY,
    PROXY_ALLOWED,
    PROXY_DENIED,
    PROXY_UNROUTED,
    PROXY_ROUTE_STATUSES,
    PROXY_ROUTE_DURATION,
    PROXY_RETRIES,
    PROXY_CERTIFICATE_END,
    PROXY_CERTIFICATES,
];
