use std::process::ExitCode;

use event_consumer::Waiting;
use event_consumer::config::{Command, InboxCommand};

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
            match &command {
                InboxCommand::List(database) => print(&event_consumer::waiting(database).await?),
                InboxCommand::Retry(key) => event_consumer::retry(key).await?,
                InboxCommand::Discard(key) => {
                    let offset = event_consumer::discard(key).await?;
                    println!("the record at offset {offset} was given up");
                }
                InboxCommand::RetryJob(job) => event_consumer::retry_job(job).await?,
                InboxCommand::DiscardJob(job) => {
                    let event = event_consumer::discard_job(job).await?;
                    println!("the job of event {event} was dropped");
                }
                InboxCommand::Reset(place) => event_consumer::reset(place).await?,
            }
            Ok(())
        }),
        Command::Outbox(command) => {
            chassis::command(async || Ok(event_consumer::outbox(&command).await?))
        }
    }
}

fn print(waiting: &Waiting) {
    for key in &waiting.parked {
        let state = if key.dead {
            "dead"
        } else {
            "to be tried again"
        };
        println!(
            "{} {} {}: {state}, {} records, {}: {}",
            key.subscriber, key.topic, key.key, key.records, key.cause, key.reason
        );
    }
    for job in &waiting.dead_jobs {
        let reason = job.reason.as_deref().unwrap_or_default();
        println!("{} {}: dead job: {reason}", job.target, job.key);
    }
}
