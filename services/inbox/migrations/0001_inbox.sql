-- Where each subscriber stands in each partition. The row is the lock under which anything about that partition changes.
create table inbox.offsets (
    subscriber text not null,
    topic text not null,
    partition integer not null,
    next_offset bigint not null check (next_offset >= 0),
    -- Kafka's id of the topic that the offset belongs to: a topic that was deleted and made again has another.
    topic_id text,
    primary key (subscriber, topic, partition)
) with (fillfactor = 50);

-- The last version that took effect of each aggregate. Kept for ever: it is what makes a repeat harmless.
create table inbox.versions (
    subscriber text not null,
    topic text not null,
    key text not null,
    generation bigint not null,
    last bigint not null,
    primary key (subscriber, topic, key, generation)
) with (fillfactor = 80);

-- Keys that stand still because one of their events could not be applied.
create table inbox.parked_keys (
    subscriber text not null,
    topic text not null,
    key text not null,
    partition integer not null,
    cause text not null check (cause in ('refused', 'gap', 'undecodable')),
    reason text not null,
    -- Retries of the first event that failed.
    attempts integer not null default 0,
    -- When it is tried again; null: never by itself, it is dead.
    due_at timestamptz,
    parked_at timestamptz not null default now(),
    primary key (subscriber, topic, key)
);

create index parked_keys_due on inbox.parked_keys (due_at) where due_at is not null;

-- Their events, whole: the one that failed and all that came behind it.
create table inbox.parked_records (
    id bigint generated always as identity primary key,
    subscriber text not null,
    topic text not null,
    key text not null,
    partition integer not null,
    "offset" bigint not null,
    record_key bytea not null,
    -- Pairs of name and value, in their order.
    headers jsonb not null,
    payload bytea not null,
    -- As far as the headers told them.
    generation bigint,
    version bigint,
    dead_lettered boolean not null default false
);

create index parked_records_of_key on inbox.parked_records (subscriber, topic, key, generation nulls first, version nulls first, id);

-- What is to be done outside of this database, in the order of id for each target and key.
create table inbox.jobs (
    id bigint generated always as identity primary key,
    target text not null,
    key text not null,
    event_id uuid not null,
    payload bytea not null,
    traceparent text,
    created_at timestamptz not null default now(),
    unique (target, event_id)
);

create index jobs_of_key on inbox.jobs (target, key, id);

-- One row for each target and key that has jobs: lease and back-off, and the lock between those who add jobs and those who finish them.
create table inbox.job_keys (
    target text not null,
    key text not null,
    -- When the first job of the key may be claimed: while it is claimed, the end of the lease. Null: dead.
    due_at timestamptz default now(),
    claim uuid,
    -- How often its first job was put off, and how often it was refused.
    attempts integer not null default 0,
    refusals integer not null default 0,
    reason text,
    primary key (target, key)
) with (fillfactor = 50);

create index job_keys_due on inbox.job_keys (target, due_at);
