-- Requests for another address, by mail. The row is written for an address that another account has, too: its token never leaves.
create table email_changes (
    id               uuid primary key,
    account_id       uuid        not null references accounts (id),
    -- The session that asked.
    session_id       uuid        not null,
    email            text        not null,
    -- That of the account at the time: whatever outdates its access tokens ends the request, too.
    security_version bigint      not null,
    -- SHA-256 of the mail's token.
    token_hash       bytea       not null unique,
    created_at       timestamptz not null default now(),
    expires_at       timestamptz not null,
    used_at          timestamptz,
    superseded_at    timestamptz
);
create index email_changes_open on email_changes (account_id) where used_at is null and superseded_at is null;
create index email_changes_expires_at on email_changes (expires_at);

alter table notifications
    add column change_id uuid references email_changes (id) on delete cascade,
    -- Where the mail goes, when it is not to the account's address.
    add column address text,
    drop constraint notifications_kind_check,
    add constraint notifications_kind_check check (kind in (
        'registration', 'registration_repeated', 'new_device', 'refresh_reuse', 'password_reset', 'password_changed',
        'email_change', 'email_taken', 'email_changed'));
create index notifications_change on notifications (change_id) where change_id is not null;
-- Such an address is forgotten as soon as the mail is of no use.
create index notifications_address on notifications (expires_at) where address is not null;

-- A lock keeps `disabled_at` too, so that a process of the release before refuses the account as well.
alter table accounts
    add column locked boolean not null default false,
    add constraint accounts_locked_check check (not locked or disabled_at is not null);
comment on column accounts.disabled_at is 'Since when nobody gets in: the account is locked, or disabled.';
comment on column accounts.locked is 'Nobody gets in for a time: sessions wait. Otherwise a disabled account has none.';
