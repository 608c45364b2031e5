//! What the processes wrote: as it is into a pipe, for reading on a terminal.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Map, Value};

use super::place;

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only of this process
    name: Option<String>,
    /// Wait for more
    #[arg(short, long)]
    follow: bool,
    /// As it was written, on a terminal too
    #[arg(long)]
    raw: bool,
    /// Begin with so many lines of each process
    #[arg(short = 'n', long, default_value_t = 100, value_name = "NUMBER")]
    lines: usize,
}

const PAUSE: Duration = Duration::from_millis(200);

impl Logs {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let instance = place::instance()?;
        if let Some(name) = &self.name {
            instance.topology.process(name)?;
        }
        let names = instance
            .topology
            .processes
            .keys()
            .filter(|name| self.name.as_ref().is_none_or(|only| only == *name));
        let mut sources = Vec::new();
        for name in names {
            match File::open(instance.layout.log_of(name)) {
                Ok(file) => sources.push(Source {
                    name: name.clone(),
                    reader: BufReader::new(file),
                    partial: String::new(),
                }),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot read the log of {name}"));
                }
            }
        }
        ensure!(
            !sources.is_empty(),
            "there is no such log yet: ./dev up starts the system"
        );
        match self.show(&mut sources) {
            // Whoever read has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            result => result.map(|()| ExitCode::SUCCESS).context("logs"),
        }
    }

    fn show(&self, sources: &mut [Source]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let pretty = !self.raw && out.is_terminal();
        let mut first = true;
        loop {
            let mut shown = false;
            for source in &mut *sources {
                let lines = source.lines()?;
                let skipped = if first {
                    lines.len().saturating_sub(self.lines)
                } else {
                    0
                };
                for line in &lines[skipped..] {
                    shown = true;
                    if pretty {
                        writeln!(out, "{}", readable(&source.name, line))?;
                    } else {
                        writeln!(out, "{line}")?;
                    }
                }
            }
            out.flush()?;
            if !self.follow {
                return Ok(());
            }
            first = false;
            if !shown {
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// One log, read as far as it goes.
struct Source {
    name: String,
    reader: BufReader<File>,
    /// The beginning of a line that is not written to its end yet.
    partial: String,
}

impl Source {
    /// The whole lines since the last time.
    fn lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut bytes = Vec::new();
        while self.reader.read_until(b'\n', &mut bytes)? > 0 {
            self.partial.push_str(&String::from_utf8_lossy(&bytes));
            bytes.clear();
            if self.partial.ends_with('\n') {
                lines.push(std::mem::take(&mut self.partial).trim_end().to_owned());
            }
        }
        Ok(lines)
    }
}

/// time level process message fields; a line that is not JSON as it is.
fn readable(process: &str, line: &str) -> String {
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(line) else {
        return format!("{process:<15} {line}");
    };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = text("time")
        .split_once('T')
        .map_or(text("time"), |(_, time)| time);
    let rest = fields.iter().filter(|(name, _)| {
        !matches!(
            name.as_str(),
            "time" | "level" | "message" | "service" | "target" | "span_id"
        )
    });
    let mut rest: Vec<String> = rest
        .map(|(name, value)| {
            value.as_str().map_or_else(
                || format!("{name}={value}"),
                |value| format!("{name}={value}"),
            )
        })
        .collect();
    rest.sort();
    format!(
        "{time:<13} {:<5} {process:<15} {}  {}",
        text("level"),
        text("message"),
        rest.join(" ")
    )
    .trim_end()
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_is_made_readable_and_another_is_kept() {
        let line = r#"{"time":"2026-01-02T03:04:05.678Z","level":"INFO","target":"auth","message":"listening","port":5,"address":"x"}"#;
        assert_eq!(
            readable("auth", line),
            "03:04:05.678Z INFO  auth            listening  address=x port=5"
        );
        assert_eq!(
            readable("kafka", "[main] started"),
            "kafka           [main] started"
        );
    }
}
