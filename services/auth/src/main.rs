//! The process `auth`.

use std::process::ExitCode;

use auth::Command;

fn main() -> ExitCode {
    match chassis::process::configuration() {
        Command::Serve(config) => chassis::run("auth", &config.process, async |process| {
            let services = auth::services(&process, &config).await?;
            Ok(chassis::grpc::serve(process, &config.grpc, services).await?)
        }),
        command => chassis::command(async || Ok(command.run().await?)),
    }
}
