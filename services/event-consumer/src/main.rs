use std::process::ExitCode;

use event_consumer::config::Command;

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
        Command::Inbox(command) => chassis::command(async || {
            print!("{}", event_consumer::inbox(&command).await?);
            Ok(())
        }),
        Command::Outbox(command) => {
            chassis::command(async || Ok(event_consumer::outbox(&command).await?))
        }
    }
}
