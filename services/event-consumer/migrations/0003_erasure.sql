-- Accounts that were erased. Their records name the pseudonym in their place; once every service has erased the account it is forgotten
-- whose pseudonym it was. The row stays for ever, so that no late event is recorded with the account.
create table erased_accounts (
    account_id uuid primary key,
    pseudonym  uuid,
    erased_at  timestamptz not null default now()
);

-- What somebody did to others, or to events. Records wait while it is made: some seconds for ten million of them.
create index audit_records_by on audit_records ((coalesce(details ->> 'by_account_id', details ->> 'by')))
    where coalesce(details ->> 'by_account_id', details ->> 'by') is not null;
