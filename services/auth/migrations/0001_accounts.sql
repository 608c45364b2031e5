-- Who exists, how they prove it, and where they are signed in.

create table accounts (
    id               uuid primary key,
    email            text        not null,
    -- lower(email): addresses that differ in case alone reach the same person.
    email_key        text        not null unique,
    display_name     text        not null,
    locale           text        not null,
    roles            text[]      not null default '{}',
    password_hash    text        not null,
    disabled_at      timestamptz,
    -- `ver` of access tokens: tokens with a lower one are outdated.
    security_version bigint      not null default 1,
    -- Version of the last event of topic grimoire.auth.account.v1. Raising it is the lock that orders writers.
    event_version    bigint      not null default 0,
    -- The etag: raised when something that GetAccount shows changes.
    revision         bigint      not null default 1,
    created_at       timestamptz not null default now()
);

-- What is known of an address, whether or not it has an account: its HMAC is the key of topic grimoire.auth.notice.v1, and failures
-- are counted here, so that a known and an unknown address cost the same writes.
create table address_state (
    address_hmac      bytea primary key,
    event_version     bigint      not null default 0,
    mails             integer     not null default 0,
    mails_since       timestamptz,
    failures          integer     not null default 0,
    last_failure_at   timestamptz,
    touched_at        timestamptz not null default now()
);
create index address_state_touched_at on address_state (touched_at);

-- One attempt to register. For an address that has an account the row is written as well, and its token never leaves.
create table registrations (
    id            uuid primary key,
    address_hmac  bytea       not null,
    email         text        not null,
    display_name  text        not null,
    locale        text        not null,
    -- SHA-256 of the mail's token.
    token_hash    bytea       not null unique,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    used_at       timestamptz,
    superseded_at timestamptz
);
create index registrations_open on registrations (address_hmac) where used_at is null and superseded_at is null;
create index registrations_expires_at on registrations (expires_at);

create table sessions (
    id                  uuid primary key,
    account_id          uuid        not null references accounts (id),
    -- Part of what refresh tokens are derived from; tokens themselves are not stored.
    secret              bytea       not null,
    -- The key that the current refresh token was made with.
    refresh_kid         text        not null,
    counter             bigint      not null default 1,
    prev                bigint,
    rotated_at          timestamptz not null default now(),
    refresh_expires_at  timestamptz not null,
    absolute_expires_at timestamptz not null,
    auth_time           timestamptz not null default now(),
    amr                 text[]      not null,
    user_agent          text        not null,
    address             text        not null,
    created_at          timestamptz not null default now(),
    ended_at            timestamptz
);
create index sessions_of_account on sessions (account_id, id desc);
create index sessions_refresh_expires_at on sessions (refresh_expires_at);

-- Devices that an account has signed in from: an HMAC of account and user agent.
create table known_devices (
    account_id   uuid        not null references accounts (id),
    device_hmac  bytea       not null,
    last_seen_at timestamptz not null default now(),
    primary key (account_id, device_hmac)
);

-- What GetNotification answers for an event, written in the transaction of the event.
create table notifications (
    event_id        uuid primary key,
    kind            text        not null check (kind in ('registration', 'registration_repeated', 'new_device', 'refresh_reuse')),
    registration_id uuid references registrations (id) on delete cascade,
    account_id      uuid references accounts (id),
    session_id      uuid references sessions (id) on delete cascade,
    created_at      timestamptz not null default now(),
    expires_at      timestamptz not null
);
create index notifications_expires_at on notifications (expires_at);
create index notifications_registration on notifications (registration_id) where registration_id is not null;
create index notifications_session on notifications (session_id) where session_id is not null;
