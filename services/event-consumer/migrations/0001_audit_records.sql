-- Every event of every account, once. No secret and no personal datum: events carry none.
create table audit_records (
    id         uuid primary key,        -- id of the event
    type       text not null,           -- name of the event, such as LOGGED_IN
    account_id uuid not null,
    time       timestamptz not null,
    trace_id   text,                    -- 32 hexadecimal digits
    details    jsonb not null           -- an object of strings
);

-- One way to read for each filter, each newest first.
create index audit_records_newest_first on audit_records (time desc, id desc);
create index audit_records_of_account on audit_records (account_id, time desc, id desc);
create index audit_records_of_type on audit_records (type, time desc, id desc);
create index audit_records_of_trace on audit_records (trace_id) where trace_id is not null;
