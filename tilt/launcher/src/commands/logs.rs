//! What the processes wrote: as it is into a pipe, for reading on a terminal.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
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
        let mut sources: Vec<Source> = names
            .map(|name| Source::new(name, instance.layout.log_of(name)))
            .collect();
        ensure!(
            self.follow || sources.iter().any(|source| source.path.exists()),
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
    path: PathBuf,
    /// What is read, and its number in the file system; none while there is no such file.
    open: Option<(BufReader<File>, u64)>,
    /// The beginning of a line that is not written to its end yet.
    partial: String,
}

impl Source {
    fn new(name: &str, path: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            path,
            open: None,
            partial: String::new(),
        }
    }

    /// The whole lines since the last time. A log that was put away is read to its end, and then the one in its place.
    fn lines(&mut self) -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        self.read(&mut lines)?;
        let now = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.ino(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(lines),
            Err(error) => return Err(error),
        };
        if self.open.as_ref().is_none_or(|(_, number)| *number != now) {
            // What came between the two looks.
            self.read(&mut lines)?;
            self.open = Some((BufReader::new(File::open(&self.path)?), now));
            self.read(&mut lines)?;
        }
        Ok(lines)
    }

    fn read(&mut self, lines: &mut Vec<String>) -> std::io::Result<()> {
        let Some((reader, _)) = &mut self.open else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes)? > 0 {
            self.partial.push_str(&String::from_utf8_lossy(&bytes));
            bytes.clear();
            if self.partial.ends_with('\n') {
                lines.push(std::mem::take(&mut self.partial).trim_end().to_owned());
            }
        }
        Ok(())
    }
}

/// time level process message fields; a line that is not JSON as it is.
pub(super) fn readable(process: &str, line: &str) -> String {
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
    fn a_log_is_followed_from_before_it_exists_and_into_the_one_that_replaces_it() {
        let folder =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("auth.log");
        let mut source = Source::new("auth", path.clone());
        assert!(source.lines().unwrap().is_empty());
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(source.lines().unwrap(), ["one"]);
        fs::write(&path, "one\ntwo\n").unwrap();
        fs::rename(&path, folder.join("auth.log.1")).unwrap();
        fs::write(&path, "three\n").unwrap();
        assert_eq!(source.lines().unwrap(), ["two", "three"]);
        fs::remove_dir_all(&folder).unwrap();
    }

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
