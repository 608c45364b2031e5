-- Why a gateway may trust an access token, and when it may no longer.

create table signing_keys (
    kid          text primary key,
    state        text        not null check (state in ('pending', 'active', 'retiring', 'retired')),
    -- The generation of the key set that first held this key.
    generation   bigint      not null,
    -- Public point on P-256, 32 bytes each.
    x            bytea       not null check (length(x) = 32),
    y            bytea       not null check (length(y) = 32),
    -- PKCS#8, sealed by AES-256-GCM under the key-encryption key `kek_id`: nonce (12), ciphertext, tag (16).
    kek_id       text        not null,
    sealed       bytea       not null,
    created_at   timestamptz not null default now(),
    activated_at timestamptz,
    retiring_at  timestamptz
);
create unique index signing_keys_one_active on signing_keys (state) where state = 'active';

-- One row: grows with each change of the set of verification keys.
create table key_set (
    only_row   boolean primary key default true check (only_row),
    generation bigint not null
);
insert into key_set (generation) values (0);

-- Tokens that may no longer be trusted; an entry is of no use once the tokens have expired by themselves.
create table revocations (
    id          bigint generated always as identity primary key,
    -- Readers find what was committed since their last snapshot by it; see store/revocations.rs.
    xid         xid8        not null default pg_current_xact_id(),
    session_id  uuid,
    account_id  uuid,
    min_version bigint,
    kid         text,
    expires_at  timestamptz not null,
    check (num_nonnulls(session_id, account_id, kid) = 1),
    check ((account_id is null) = (min_version is null))
);
create index revocations_xid on revocations (xid);
create index revocations_expires_at on revocations (expires_at);

-- Which gateway follows which replica of auth, and the keys it has acknowledged. Live while seen within the lease.
create table trust_followers (
    follower                text        not null,
    instance                uuid        not null,
    acknowledged_generation bigint      not null default 0,
    seen_at                 timestamptz not null default now(),
    primary key (follower, instance)
);
create index trust_followers_seen_at on trust_followers (seen_at);
