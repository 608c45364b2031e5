-- Requests for a new password, by mail. The row is written for an address without an account, too: its token never leaves.
create table password_resets (
    id            uuid primary key,
    address_hmac  bytea       not null,
    account_id    uuid references accounts (id),
    -- SHA-256 of the mail's token.
    token_hash    bytea       not null unique,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    used_at       timestamptz,
    superseded_at timestamptz
);
create index password_resets_open on password_resets (address_hmac) where used_at is null and superseded_at is null;
create index password_resets_expires_at on password_resets (expires_at);

alter table notifications
    add column reset_id uuid references password_resets (id) on delete cascade,
    drop constraint notifications_kind_check,
    add constraint notifications_kind_check check (kind in (
        'registration', 'registration_repeated', 'new_device', 'refresh_reuse', 'password_reset', 'password_changed'));
create index notifications_reset on notifications (reset_id) where reset_id is not null;
