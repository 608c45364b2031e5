-- What happened to an account. No reference to profiles: an activity may arrive before the first sight of its account.
create table activities (
    id         uuid primary key,                  -- id of the event
    account_id uuid not null,
    type       text not null,                     -- name of the event, such as LOGGED_IN
    time       timestamptz not null,
    session_id uuid,
    fields     text[] not null
);

-- Newest first, page by page; a filter by type walks the activities of one account only.
create index activities_newest_first on activities (account_id, time desc, id desc);
