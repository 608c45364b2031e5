-- Where attempts on an address have failed: further ones are delayed there, and nowhere else.
create table failed_logins (
    address_hmac bytea       not null,
    -- The part of a client's address that stays the same: IPv4 whole, IPv6 the first 64 bits; empty where it is not known.
    network      text        not null,
    failed_at    timestamptz not null,
    primary key (address_hmac, network)
);
create index failed_logins_failed_at on failed_logins (failed_at);

comment on column accounts.email_key is
    'What makes two spellings the same address, computed by the program (email.rs): lower() depends on the database''s collation,
     and the pseudonym in address_state must agree with it.';

-- Rows that can be forgotten; those that only keep a version are never looked at again.
drop index address_state_touched_at;
create index address_state_touched_at on address_state (touched_at)
    where event_version = 0 or mails_since is not null or failures > 0;

create index known_devices_last_seen_at on known_devices (last_seen_at);
