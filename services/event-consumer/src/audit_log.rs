//! The audit log. Of accounts that were erased it keeps what happened and when, under a pseudonym, and which administrator did it.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::store::audit_records::{self, AuditRow, NO_ACCOUNT};
use crate::store::erased_accounts;

/// Details that name who did it to the account, or decided about its events.
const DOERS: [&str; 2] = ["by_account_id", "by"];
/// Records that are pseudonymised at a time.
const AT_ONCE: i64 = 1_000;

/// Adds records that are not there yet, without what they would tell of accounts that were erased.
pub(crate) async fn add(
    connection: &mut PgConnection,
    mut records: Vec<AuditRow>,
) -> sqlx::Result<()> {
    let erased = erased_accounts::among(&mut *connection, &named(&records)).await?;
    hide(&mut records, &erased);
    audit_records::add(connection, &records).await
}

/// Pseudonymises what is recorded of an account that was added to the erased ones, a part at a time: there may be a million records. Whoever
/// else they name is hidden as well where erased: of two who are erased at once, neither is written back into a record that names both.
pub(crate) async fn erase(pool: &PgPool, account: Uuid) -> sqlx::Result<()> {
    loop {
        let mut transaction = pool.begin().await?;
        let mut records = audit_records::naming(&mut *transaction, account, AT_ONCE).await?;
        if records.is_empty() {
            return Ok(());
        }
        // Until the commit nobody is added whom these records name.
        let mut erased = erased_accounts::among(&mut *transaction, &named(&records)).await?;
        erased.entry(account).or_default();
        hide(&mut records, &erased);
        audit_records::replace(&mut *transaction, &records).await?;
        transaction.commit().await?;
    }
}

/// The accounts that records are about, and those that did what is recorded.
fn named(records: &[AuditRow]) -> Vec<Uuid> {
    let doers = records
        .iter()
        .filter_map(|record| doer(record).map(|(_, doer)| doer));
    let accounts = records.iter().map(|record| record.account_id);
    accounts.chain(doers).collect()
}

/// Of a record about an account that was erased it is left what happened, when, and who else did it. What the account did to others is done
/// by its pseudonym, or by nobody where that is forgotten.
fn hide(records: &mut [AuditRow], erased: &HashMap<Uuid, Option<Uuid>>) {
    for record in records {
        if let Some(pseudonym) = erased.get(&record.account_id) {
            record.account_id = pseudonym.unwrap_or(NO_ACCOUNT);
            record.trace_id = None;
            record
                .details
                .retain(|name, _| DOERS.contains(&name.as_str()));
        }
        if let Some((name, doer)) = doer(record)
            && let Some(pseudonym) = erased.get(&doer)
        {
            match pseudonym {
                Some(pseudonym) => record
                    .details
                    .insert(name.to_owned(), pseudonym.to_string()),
                None => record.details.remove(name),
            };
        }
    }
}

/// The account that did what is recorded to another one, and the detail that names it.
fn doer(record: &AuditRow) -> Option<(&'static str, Uuid)> {
    DOERS
        .into_iter()
        .find_map(|name| Some((name, record.details.get(name)?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use sqlx::types::Json;
    use time::OffsetDateTime;

    use super::*;

    fn record(account_id: Uuid, details: &[(&str, &str)]) -> AuditRow {
        let details = details
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        AuditRow {
            id: Uuid::now_v7(),
            r#type: "ACCOUNT_LOCKED".into(),
            account_id,
            time: OffsetDateTime::UNIX_EPOCH,
            trace_id: Some("0123456789abcdef0123456789abcdef".into()),
            details: Json(details.collect()),
        }
    }

    fn hidden(record: &AuditRow, erased: &[(Uuid, Option<Uuid>)]) -> AuditRow {
        let mut records = [record.clone()];
        hide(&mut records, &erased.iter().copied().collect());
        let [record] = records;
        record
    }

    #[test]
    fn of_an_erased_account_type_and_time_are_left_and_who_else_did_it() {
        let (account, admin, pseudonym) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        let by = admin.to_string();
        let before = record(
            account,
            &[
                ("session_id", "s"),
                ("version", "7"),
                ("by_account_id", &by),
            ],
        );
        let after = hidden(&before, &[(account, Some(pseudonym))]);
        let expected = AuditRow {
            account_id: pseudonym,
            trace_id: None,
            details: record(account, &[("by_account_id", &by)]).details,
            ..before.clone()
        };
        assert_eq!(after, expected);
        assert_eq!(hidden(&before, &[]), before);
        assert_eq!(
            hidden(&before, &[(account, None)]).account_id,
            NO_ACCOUNT,
            "whose pseudonym it was is forgotten"
        );
    }

    #[test]
    fn what_an_erased_account_did_to_others_is_done_by_its_pseudonym() {
        let (other, admin, pseudonym) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
        for name in DOERS {
            let before = record(other, &[(name, &admin.to_string()), ("key", "k")]);
            let after = hidden(&before, &[(admin, Some(pseudonym))]);
            let expected = record(other, &[(name, &pseudonym.to_string()), ("key", "k")]);
            assert_eq!((after.account_id, after.details), (other, expected.details));
        }
        let forgotten = hidden(
            &record(other, &[("by", &admin.to_string())]),
            &[(admin, None)],
        );
        assert!(forgotten.details.is_empty());
        let operator = record(other, &[("by", "operator")]);
        assert_eq!(hidden(&operator, &[(admin, None)]), operator);
    }

    #[test]
    fn of_two_who_were_erased_neither_is_left_in_a_record_that_names_both() {
        let (account, admin) = (Uuid::now_v7(), Uuid::now_v7());
        let (person, doer) = (Uuid::now_v7(), Uuid::now_v7());
        let before = record(account, &[("by_account_id", &admin.to_string())]);
        assert_eq!(named(std::slice::from_ref(&before)), [account, admin]);
        let after = hidden(&before, &[(account, Some(person)), (admin, Some(doer))]);
        assert_eq!(after.account_id, person);
        assert_eq!(after.details["by_account_id"], doer.to_string());
    }

    #[test]
    fn who_did_something_to_the_own_account_is_hidden_twice() {
        let (account, pseudonym) = (Uuid::now_v7(), Uuid::now_v7());
        let before = record(account, &[("by_account_id", &account.to_string())]);
        let after = hidden(&before, &[(account, Some(pseudonym))]);
        assert_eq!(after.details["by_account_id"], pseudonym.to_string());
        assert_eq!(after.account_id, pseudonym);
    }
}
