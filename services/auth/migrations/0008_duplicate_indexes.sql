-- Those of 0007 find the same rows, and in order.
drop index email_changes_account;
drop index password_resets_account;
