//! The process `user` with a relay that can be told to write its cursor too early, and to die before it publishes.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;

use chassis::process::Process;
use chassis::{database, grpc, upstream};
use futures::FutureExt;
use outbox::{Failpoint, Relay, Step};
use sqlx::PgPool;
use tests::planted::{Death, Fault};
use user::config::{Command, Config};
use user::topics;

fn main() -> ExitCode {
    match chassis::process::configuration::<Command>() {
        Command::Serve(config) => chassis::run("user", &config.process, async |process| {
            serve(&config, process).await
        }),
        Command::Migrate(database) => {
            chassis::command(async || Ok(user::migrate(&database).await?))
        }
        Command::Outbox(_) => panic!("of no use to a test"),
    }
}

async fn serve(config: &Config, process: Process) -> anyhow::Result<()> {
    let url = &config.database.database_url;
    let mut relay = config
        .kafka
        .relay(process.environment, url, "grimoire/user", topics::ALL)?;
    let pool = database::connect("user", "USER_DATABASE_URL", url, &config.pool).await?;
    relay.failpoint = Some(failpoint(pool.clone()));
    let (relay, wake) = Relay::new(relay);
    let stop = process.stop.clone();
    let services = user::services(pool, upstream::connect("auth", &config.auth_url), wake)
        .await?
        .task("outbox relay", async move {
            relay.run(stop).await;
            Ok::<_, Infallible>(())
        });
    Ok(grpc::serve(process, &config.grpc, services).await?)
}

/// Acts between reading a window and publishing it.
fn failpoint(pool: PgPool) -> Failpoint {
    let early = Fault::of_this_process() == Some(Fault::CursorBeforeDelivery);
    let death = Death::of_this_process();
    Arc::new(move |step: Step| {
        let (pool, death) = (pool.clone(), death.clone());
        async move {
            if step == Step::WindowTaken {
                if early {
                    pass_window(&pool).await;
                }
                death.here_if_told();
            }
            ControlFlow::<()>::Continue(())
        }
        .boxed()
    })
}

/// The cursor passes everything that is committed, and with it the window that was just read.
async fn pass_window(pool: &PgPool) {
    sqlx::query("update outbox.relay set lo = pg_current_snapshot(), hi = null, done_seq = 0")
        .execute(pool)
        .await
        .expect("the cursor can be written");
}
