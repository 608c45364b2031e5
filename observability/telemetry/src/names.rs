//! The name of every metric, once. They follow OpenTelemetry's semantic conventions
//! 1.44 in the form that Prometheus gives them; labels are bounded (methods, routes and codes, never paths, ids or addresses).

// Process
/// Gauge, 1: `service`, `version`.
pub const BUILD_INFO: &str = "grimoire_build_info";
/// Gauge, 0 or 1: whether `/readyz` says that the process is ready.
pub const READY: &str = "grimoire_ready";
/// Counter: `error_type` (empty: sent).
pub const SPANS_EXPORTED: &str = "otel_sdk_exporter_span_exported_total";

// gRPC
/// Histogram, seconds: `rpc_method`, `rpc_response_status_code`.
pub const RPC_SERVER_CALL_DURATION: &str = "rpc_server_call_duration_seconds";
/// Gauge: calls that have begun and not ended, by `rpc_method`.
pub const RPC_SERVER_ACTIVE_CALLS: &str = "rpc_server_active_calls";
/// Histogram, seconds: `server_address` (the name of the process that is called), `rpc_response_status_code`.
pub const RPC_CLIENT_CALL_DURATION: &str = "rpc_client_call_duration_seconds";

// Database
/// Histogram, seconds: `db_operation_name` (SELECT, INSERT, ...).
pub const DB_OPERATION_DURATION: &str = "db_client_operation_duration_seconds";
/// Gauge: connections of the pool, by `db_client_connection_state` (idle, used).
pub const DB_CONNECTIONS: &str = "db_client_connection_count";
/// Gauge: connections that the pool may open.
pub const DB_CONNECTIONS_MAX: &str = "db_client_connection_max";
/// Histogram, seconds: how long a connection was waited for, as seen by a probe each second.
pub const DB_CONNECTION_WAIT: &str = "db_client_connection_wait_time_seconds";

// Gateway
/// Histogram, seconds: `http_request_method`, `http_route`, `http_response_status_code`.
pub const HTTP_SERVER_REQUEST_DURATION: &str = "http_server_request_duration_seconds";
/// Gauge: requests on their way.
pub const HTTP_SERVER_ACTIVE_REQUESTS: &str = "http_server_active_requests";
/// Counter: requests that the gateway refused itself, by `reason`.
pub const GATEWAY_REFUSALS: &str = "gateway_refusals_total";
/// Counter: requests over a limit, by `limit`.
pub const GATEWAY_RATE_LIMITED: &str = "gateway_rate_limited_total";
/// Gauge: clients whose budgets are remembered, by `limit`.
pub const GATEWAY_LIMIT_KEYS: &str = "gateway_limit_keys";
/// Gauge, 0 or 1: the store that limits are shared through is away; 0 where there is none.
pub const GATEWAY_LIMIT_STORE_AWAY: &str = "gateway_limit_store_away";
/// Counter: times that a budget of one gateway alone decided, because that store was away.
pub const GATEWAY_LIMIT_FALLBACKS: &str = "gateway_limit_fallbacks_total";
/// Counter: access tokens that were looked at, by `result`.
pub const GATEWAY_TOKENS: &str = "gateway_tokens_total";
/// Gauge, seconds: age of the database read that keys and revocations come from.
pub const GATEWAY_TRUST_AGE: &str = "gateway_trust_age_seconds";
/// Gauge: keys that access tokens are verified with.
pub const GATEWAY_TRUST_KEYS: &str = "gateway_trust_keys";
/// Gauge: revocations that are remembered.
pub const GATEWAY_REVOCATIONS: &str = "gateway_revocations";
/// Counter: calls that were sent a second time, by `server_address`.
pub const GATEWAY_RETRIES: &str = "gateway_upstream_retries_total";
/// Gauge: addresses that are passed over because nothing could be reached there, by `server_address`.
pub const GATEWAY_EJECTED: &str = "gateway_upstream_ejected";
/// Counter: times that an address was passed over, by `server_address`.
pub const GATEWAY_EJECTIONS: &str = "gateway_upstream_ejections_total";
/// Counter: calls that the hang guard ended.
pub const GATEWAY_HUNG_CALLS: &str = "gateway_hung_calls_total";
/// Gauge: connections of clients that are open.
pub const GATEWAY_CONNECTIONS: &str = "gateway_connections";
/// Counter: connections closed at once because there were too many, by `bound` (altogether, address).
pub const GATEWAY_CONNECTIONS_REFUSED: &str = "gateway_connections_refused_total";
/// Counter: requests and connections ended because their client did not go on, or because the head of a request did not end.
pub const GATEWAY_SLOW_CLIENTS: &str = "gateway_slow_clients_total";
/// Gauge, 1: the routes in force, by `hash`.
pub const GATEWAY_PLAN: &str = "gateway_plan_info";
/// Counter: changes of the folder of contracts, by `outcome` (applied, refused).
pub const GATEWAY_PLAN_RELOADS: &str = "gateway_plan_reloads_total";
/// Gauge, 0 or 1: what the folder of contracts has is refused, and a plan before it in force.
pub const GATEWAY_PLAN_REFUSED: &str = "gateway_plan_refused";

// Passwords
/// Histogram, seconds: one password hash.
pub const AUTH_PASSWORD_HASH_DURATION: &str = "auth_password_hash_duration_seconds";
/// Histogram, seconds: how long a hash waited for memory.
pub const AUTH_PASSWORD_WAIT_DURATION: &str = "auth_password_wait_duration_seconds";
/// Gauge: hashes that wait.
pub const AUTH_PASSWORD_QUEUE_LENGTH: &str = "auth_password_queue_length";
/// Counter: hashes that were refused because too many waited.
pub const AUTH_PASSWORD_REFUSALS: &str = "auth_password_refusals_total";

// Sign-in and trust
/// Counter: attempts to sign in with a password, by `outcome` (succeeded, refused, delayed).
pub const AUTH_LOGINS: &str = "auth_logins_total";
/// Counter: refresh tokens that were presented, by `outcome` (rotated, repeated, reuse, refused, overtaken).
pub const AUTH_REFRESHES: &str = "auth_refreshes_total";
/// Counter: mails that were not sent because their address had enough.
pub const AUTH_MAILS_CAPPED: &str = "auth_mails_capped_total";
/// Gauge, seconds: how long the active signing key has signed.
pub const AUTH_SIGNING_KEY_AGE: &str = "auth_signing_key_age_seconds";
/// Gauge: gateways that follow this replica.
pub const AUTH_TRUST_FOLLOWERS: &str = "auth_trust_followers";
/// Counter: reads of keys and revocations that failed; followers hear nothing meanwhile.
pub const AUTH_TRUST_READ_FAILURES: &str = "auth_trust_read_failures_total";

// Outbox
/// Counter: events that Kafka acknowledged.
pub const OUTBOX_PUBLISHED: &str = "outbox_published_total";
/// Histogram, seconds: from a window's first row to Kafka's acknowledgement of the whole window.
pub const OUTBOX_PUBLISH_DELAY: &str = "outbox_publish_delay_seconds";
/// Gauge, 0 or 1: whether this process publishes.
pub const OUTBOX_LEASE_HELD: &str = "outbox_lease_held";
/// Gauge: slot that writers use.
pub const OUTBOX_CURRENT_SLOT: &str = "outbox_current_slot";
/// Gauge, 0 or 1: the current slot is full and the next one cannot be emptied.
pub const OUTBOX_ROTATION_BLOCKED: &str = "outbox_rotation_blocked";
/// Counter: sessions of the relay that ended in a failure, by `kind`.
pub const OUTBOX_RELAY_FAILURES: &str = "outbox_relay_failures_total";
/// Gauge, 0 or 1: the relay waits for an operator, by `kind`.
pub const OUTBOX_RELAY_HALTED: &str = "outbox_relay_halted";
/// Gauge: committed events that are not in Kafka, counted up to 100,000.
pub const OUTBOX_UNPUBLISHED: &str = "outbox_unpublished";
/// Gauge, seconds: age of the oldest committed event that is not in Kafka.
pub const OUTBOX_OLDEST_UNPUBLISHED: &str = "outbox_oldest_unpublished_age_seconds";
/// Gauge: transactions that began since the oldest one that is still writing.
pub const OUTBOX_XMIN_AGE: &str = "outbox_xmin_age";

// Inbox
/// Counter: `subscriber`, `outcome` (applied, repeat, behind, parked).
pub const INBOX_EVENTS: &str = "inbox_events_total";
/// Counter: keys parked, by `subscriber` and `cause` (refused, gap, undecodable).
pub const INBOX_PARKED: &str = "inbox_parked_total";
/// Histogram, seconds: from the change to the commit of its effect, by `subscriber`.
pub const INBOX_COMMIT_TO_EFFECT_SECONDS: &str = "inbox_commit_to_effect_seconds";
/// Counter: batches dropped because the partition had moved on without this process, by `subscriber`.
pub const INBOX_FENCED: &str = "inbox_fenced_batches_total";
/// Counter: assignments and revocations of partitions, by `subscriber`.
pub const INBOX_REBALANCES: &str = "inbox_rebalances_total";
/// Counter: batches that failed for want of the database, by `subscriber`.
pub const INBOX_FAILED_BATCHES: &str = "inbox_failed_batches_total";
/// Gauge: records not settled yet, by `subscriber`, `topic`, `partition`.
pub const INBOX_LAG_RECORDS: &str = "inbox_lag_records";
/// Gauge, seconds: age of the batch that is being settled, by `subscriber`, `topic`, `partition`.
pub const INBOX_LAG_SECONDS: &str = "inbox_lag_seconds";
/// Gauge, 0 or 1: a partition stands still because its offset does not fit the topic, by `subscriber`, `topic`, `partition`.
pub const INBOX_PARTITION_STOPPED: &str = "inbox_partition_stopped";
/// Gauge: keys that stand still and are tried again, by `subscriber`.
pub const INBOX_PARKED_KEYS: &str = "inbox_parked_keys";
/// Gauge: keys that stand still until an operator decides, by `subscriber`.
pub const INBOX_DEAD_KEYS: &str = "inbox_dead_keys";
/// Gauge: jobs that are not done yet, by `target`.
pub const INBOX_JOBS: &str = "inbox_jobs";
/// Gauge, seconds: age of the oldest job that is not done yet, by `target`.
pub const INBOX_JOBS_AGE_SECONDS: &str = "inbox_jobs_oldest_age_seconds";
/// Gauge: keys whose first job was given up, by `target`.
pub const INBOX_JOBS_DEAD_KEYS: &str = "inbox_jobs_dead_keys";
/// Counter: tries of jobs, by `target` and `outcome` (done, skipped, retry, failed).
pub const INBOX_JOBS_FINISHED: &str = "inbox_jobs_finished_total";
