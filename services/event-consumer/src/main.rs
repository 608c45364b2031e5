use std::process::ExitCode;

use event_consumer::config::{Command, InboxCommand, OutboxCommand};

fn main() -> ExitCode {
    match chassis::process::configuration::<Command>() {
        Command::Serve(config) => {
            chassis::run("event-consumer", &config.process, async |process| {
                Ok(event_consumer::serve(&config, process).await?)
            })
        }
        Command::Migrate(database) => {
            chassis::command(async || Ok(event_consumer::migrate(&database).await?))
        }
        Command::Inbox(InboxCommand::Reset(place)) => {
            chassis::command(async || Ok(event_consumer::reset(&place).await?))
        }
        Command::Outbox(OutboxCommand::Rebase(database)) => chassis::command(async || {
            let rebased = event_consumer::rebase(&database).await?;
            println!(
                "{} dead letters will be published as generation {}",
                rebased.entries, rebased.generation
            );
            Ok(())
        }),
    }
}
