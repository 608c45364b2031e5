use std::process::ExitCode;

use user::config::{Command, OutboxCommand};

fn main() -> ExitCode {
    match chassis::process::configuration::<Command>() {
        Command::Serve(config) => chassis::run("user", &config.process, async |process| {
            Ok(user::serve(&config, process).await?)
        }),
        Command::Migrate(database) => {
            chassis::command(async || Ok(user::migrate(&database).await?))
        }
        Command::Outbox(OutboxCommand::Rebase(database)) => chassis::command(async || {
            let rebased = user::rebase(&database).await?;
            println!(
                "{} events will be published as generation {}",
                rebased.entries, rebased.generation
            );
            Ok(())
        }),
    }
}
