use std::process::ExitCode;

use user::config::Command;

fn main() -> ExitCode {
    match chassis::process::configuration::<Command>() {
        Command::Serve(config) => chassis::run("user", &config.process, async |process| {
            Ok(user::serve(&config, process).await?)
        }),
        Command::Migrate(database) => {
            chassis::command(async || Ok(user::migrate(&database).await?))
        }
        Command::Outbox(command) => chassis::command(async || Ok(user::outbox(&command).await?)),
    }
}
