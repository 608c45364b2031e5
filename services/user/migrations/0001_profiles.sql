-- One row per person: how they present themselves, and the counter of the events about them. The row is the lock under which
-- profile and preferences change, so both draw their event versions from the one counter of their topic.
create table profiles (
    id            uuid primary key,               -- account id
    display_name  text not null default '',
    bio           text not null default '',
    avatar_uri    text not null default '',
    locale        text not null default '',
    time_zone     text not null default '',
    version       bigint not null default 1,      -- of the profile: its etag
    event_version bigint not null default 0,      -- of the last event with this key in grimoire.user.profile.v1
    create_time   timestamptz not null default clock_timestamp(),
    update_time   timestamptz not null default clock_timestamp()
);

-- A person without a row has the defaults.
create table preferences (
    id             uuid primary key references profiles (id),
    theme          integer not null,              -- number of grimoire.user.v1.Theme
    product_news   boolean not null,
    weekly_summary boolean not null,
    labels         jsonb not null,                -- an object of strings
    version        bigint not null default 1,     -- their etag
    update_time    timestamptz not null default clock_timestamp()
);
