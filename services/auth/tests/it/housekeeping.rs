use std::time::Duration;

use crate::kit::{Auth, database, identity};

#[tokio::test]
async fn what_is_of_no_use_any_more_goes_at_once_however_much_it_is() {
    let database = database().await;
    sqlx::raw_sql(
        "insert into revocations (kid, expires_at)
             select 'old', now() - interval '1 hour' from generate_series(1, 12000);
         insert into revocations (kid, expires_at) values ('live', now() + interval '1 hour');
         insert into trust_followers (follower, instance, seen_at)
             select 'gateway-' || n, gen_random_uuid(), now() - interval '2 days' from generate_series(1, 6000) as n;
         insert into failed_logins (address_hmac, network, failed_at)
             select sha256(n::text::bytea), '', now() - interval '2 hours' from generate_series(1, 6000) as n;
         insert into address_state (address_hmac, event_version, mails, mails_since, touched_at)
             select sha256(n::text::bytea), n % 2, 1, now(), now() - interval '91 days' from generate_series(1, 12000) as n",
    )
    .execute(&database.pool)
    .await
    .unwrap();

    let auth = Auth::over(database.pool.clone(), identity()).await;
    let left = "select (select count(*) from revocations) + (select count(*) from trust_followers)
                     + (select count(*) from failed_logins)
                     + (select count(*) from address_state where event_version = 0 or mails_since is not null)";
    tokio::time::timeout(Duration::from_secs(30), async {
        while auth.count(left).await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    // Versions never restart.
    assert_eq!(auth.count("select count(*) from address_state").await, 6000);
}

#[tokio::test]
async fn a_registration_is_forgotten_a_week_after_its_token_has_expired() {
    let database = database().await;
    sqlx::raw_sql(
        "insert into registrations (id, address_hmac, email, display_name, locale, token_hash, expires_at)
             select gen_random_uuid(), '', days || '@example.com', '', '', days::text::bytea, now() - make_interval(days => days)
             from unnest(array[6, 8]) as days",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let auth = Auth::over(database.pool.clone(), identity()).await;
    tokio::time::timeout(Duration::from_secs(30), async {
        while auth.count("select count(*) from registrations").await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(
        auth.count("select count(*) from registrations where email = '6@example.com'")
            .await,
        1
    );
}

#[tokio::test]
async fn an_address_that_nobody_proved_or_that_was_left_is_forgotten() {
    let database = database().await;
    sqlx::raw_sql(
        "insert into accounts (id, email, email_key, display_name, locale, password_hash)
             values ('018f0000-0000-7000-8000-00000000000a', 'ada@example.com', 'ada@example.com', '', '', '');
         insert into email_changes (id, account_id, session_id, email, security_version, token_hash, expires_at)
             select gen_random_uuid(), '018f0000-0000-7000-8000-00000000000a', gen_random_uuid(), days || '@example.com', 1,
                    days::text::bytea, now() - make_interval(days => days)
             from unnest(array[6, 8]) as days;
         insert into notifications (event_id, kind, address, expires_at) values
             (gen_random_uuid(), 'email_changed', 'left@example.com', now() - interval '1 second'),
             (gen_random_uuid(), 'email_changed', 'told@example.com', now() + interval '1 hour'),
             (gen_random_uuid(), 'password_changed', null, now() - interval '1 second')",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let auth = Auth::over(database.pool.clone(), identity()).await;
    let left = "select (select count(*) from email_changes) + (select count(*) from notifications)";
    tokio::time::timeout(Duration::from_secs(30), async {
        while auth.count(left).await > 3 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let kept = "select (select count(*) from email_changes where email = '6@example.com')
                     + (select count(*) from notifications where address is distinct from 'left@example.com')";
    assert_eq!(auth.count(kept).await, 3);
}

#[tokio::test]
async fn the_address_of_a_deleted_account_is_wiped_after_a_day_without_its_last_mail() {
    let database = database().await;
    let auth = Auth::over(database.pool.clone(), identity()).await;
    for email in ["ada@example.com", "eve@example.com"] {
        let (account, tokens) = auth.signed_in(email).await;
        auth.delete(&account, &tokens).await.unwrap();
        auth.receipt(&account.id, "user").await.unwrap();
        auth.receipt(&account.id, "event-consumer").await.unwrap();
    }
    auth.execute(
        "update accounts set deleted_at = now() - case email when 'ada@example.com' then interval '24 hours'
                                                              else interval '23 hours' end",
    )
    .await;
    let replica = Auth::over(database.pool.clone(), identity()).await;
    let kept = "select count(*) from accounts where email <> ''";
    tokio::time::timeout(Duration::from_secs(30), async {
        while replica.count(kept).await > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let waits =
        "select count(*) from accounts where email = 'eve@example.com' and erased_at is null";
    assert_eq!(replica.count(waits).await, 1);
    // What the other services had erased before is complete with it.
    let event = replica.events().await.pop().unwrap();
    assert_eq!(event.kind, "ErasureCompleted");
}

#[tokio::test]
async fn an_address_that_cannot_be_wiped_holds_up_no_other() {
    let database = database().await;
    let auth = Auth::over(database.pool.clone(), identity()).await;
    for email in ["ada@example.com", "eve@example.com"] {
        let (account, tokens) = auth.signed_in(email).await;
        auth.delete(&account, &tokens).await.unwrap();
    }
    auth.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$",
    )
    .await;
    auth.execute(
        "create trigger refuse before update on accounts for each row
         when (old.email = 'ada@example.com' and new.email = '') execute function refuse()",
    )
    .await;
    // The one that is in the way comes first.
    auth.execute(
        "update accounts set deleted_at = now() - case email when 'ada@example.com' then interval '26 hours'
                                                              else interval '25 hours' end",
    )
    .await;
    let replica = Auth::over(database.pool.clone(), identity()).await;
    let others = "select count(*) from accounts where email not in ('', 'ada@example.com')";
    tokio::time::timeout(Duration::from_secs(30), async {
        while replica.count(others).await > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let kept = "select count(*) from accounts where email = 'ada@example.com'";
    assert_eq!(replica.count(kept).await, 1);
}
