-- An account that was deleted keeps its row, without anything of the person once `erased_at` is set. `disabled_at` is set, too, so that a
-- process of the release before refuses it.
alter table accounts
    add column deleted_at timestamptz,
    add column erased_at  timestamptz,
    add constraint accounts_deleted_check check (deleted_at is null or (disabled_at is not null and not locked)),
    add constraint accounts_erased_check check (erased_at is null or (deleted_at is not null and email = ''));
comment on column accounts.email is 'Empty once the address of a deleted account was wiped; email_key then is the account''s id, which is no address.';
comment on column accounts.erased_at is 'When the last receipt came.';
-- Those whose address is still there.
create index accounts_to_wipe on accounts (deleted_at) where deleted_at is not null and email <> '';

-- Which service has erased what it kept of an account.
create table erasure_receipts (
    account_id  uuid        not null references accounts (id),
    service     text        not null,
    -- The last time: it may be erased again after a restore.
    received_at timestamptz not null default now(),
    primary key (account_id, service)
);

alter table notifications
    drop constraint notifications_kind_check,
    add constraint notifications_kind_check check (kind in (
        'registration', 'registration_repeated', 'new_device', 'refresh_reuse', 'password_reset', 'password_changed',
        'email_change', 'email_taken', 'email_changed', 'account_deleted'));

-- What is wiped is found by them.
create index notifications_account on notifications (account_id) where account_id is not null;
create index registrations_address on registrations (address_hmac);
create index password_resets_account on password_resets (account_id) where account_id is not null;
create index email_changes_account on email_changes (account_id);
