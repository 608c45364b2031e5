-- The events of committed transactions, until Kafka has them. Rows enter through the root table, are never changed, and leave by
-- TRUNCATE of a whole slot: deleting them one by one would cost more in vacuum than all the rest.
--
-- A sequence and not an identity column: partitions inherit an identity only since PostgreSQL 17. cache 1, because seq must
-- follow the order of the versions of a key, and a connection would keep a cached range for later.
create sequence outbox.entries_seq cache 1;

create table outbox.entries (
    slot        smallint    not null,
    -- Before seq: defaults are computed in the order of the columns, and window.rs relies on a transaction having its id
    -- before it draws its first seq.
    xid         xid8        not null default pg_current_xact_id(),
    seq         bigint      not null default nextval('outbox.entries_seq'),
    event_id    uuid        not null,
    topic       text        not null,
    key         text        not null,
    version     bigint      not null,
    event_type  text        not null,
    headers     jsonb,
    traceparent text,
    payload     bytea       not null,
    created_at  timestamptz not null default clock_timestamp()
) partition by list (slot);

alter sequence outbox.entries_seq owned by outbox.entries.seq;

-- By xid: what became visible between two snapshots. By seq: a large window as a stream in order, without a sort.
create index entries_xid on outbox.entries (xid);
create index entries_in_order on outbox.entries (seq);

-- Nothing is updated or deleted here: vacuum would only rewrite pages that are about to be truncated.
create table outbox.entries_0 partition of outbox.entries for values in (0) with (autovacuum_enabled = false);
create table outbox.entries_1 partition of outbox.entries for values in (1) with (autovacuum_enabled = false);
create table outbox.entries_2 partition of outbox.entries for values in (2) with (autovacuum_enabled = false);

-- Where writers put their rows. One row.
create table outbox.current_slot (
    singleton boolean     primary key default true check (singleton),
    slot      smallint    not null check (slot between 0 and 2),
    since     timestamptz not null default clock_timestamp()
);
insert into outbox.current_slot (slot) values (0);

-- Who publishes, and how far Kafka is. One row.
create table outbox.relay (
    singleton  boolean     primary key default true check (singleton),
    holder     uuid,
    epoch      bigint      not null default 0,
    expires_at timestamptz not null default '-infinity',
    -- Every row that is visible in it is in Kafka.
    lo         pg_snapshot not null default '1:1:',
    -- A window that is under way: of the rows visible in hi and not in lo, those up to done_seq are in Kafka.
    hi         pg_snapshot,
    done_seq   bigint      not null default 0,
    -- Number of the stream; a restored database begins a new one.
    generation bigint      not null default 1,
    -- The database whose transaction ids lo and hi speak of; null before the first relay.
    origin     text
) with (fillfactor = 20);
insert into outbox.relay default values;
