-- What is kept about one account is read in the order of ids, page by page.
create index email_changes_of_account on email_changes (account_id, id desc);
create index password_resets_of_account on password_resets (account_id, id desc) where account_id is not null;
create index notifications_left_addresses on notifications (account_id, event_id desc) where address is not null;
