//! One trace: its spans as a tree, and what all processes logged of it.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use launcher::layout::Layout;
use launcher::traces::{self, Span};

use super::{logs, place};

/// How many traces are listed.
const NEWEST: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Its id, 32 hexadecimal digits, such as the `traceId` of an error; without one the newest traces are listed
    id: Option<String>,
}

impl Trace {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let layout = Layout::new(&place::root()?);
        let text = match &self.id {
            Some(id) => one(&layout, id)?,
            None => newest(&traces::all(&layout.observe())?)?,
        };
        match stdout().lock().write_all(text.as_bytes()) {
            // Whoever read has seen enough.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("trace"),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

fn one(layout: &Layout, id: &str) -> Result<String> {
    let digits = id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(
        id.len() == 32 && digits,
        "a trace has an id of 32 hexadecimal digits"
    );
    let id = id.to_ascii_lowercase();
    let spans = traces::of_trace(&layout.observe(), &id)?;
    let lines = launcher::logs::of_trace(layout, &id)?;
    ensure!(
        !spans.is_empty() || !lines.is_empty(),
        "nothing is known of that trace. Spans are kept by ./dev up --observe and come within seconds; lines are logged of failures, and of more by GRIMOIRE_LOG=debug"
    );
    let mut text = traces::tree(&spans);
    if !spans.is_empty() && !lines.is_empty() {
        text.push('\n');
    }
    for line in &lines {
        text.push_str(&logs::readable(&line.process, &line.text));
        text.push('\n');
    }
    Ok(text)
}

/// One line for each: its id, how many spans it has, how long it took, and with what it began.
fn newest(spans: &[Span]) -> Result<String> {
    ensure!(
        !spans.is_empty(),
        "there is no trace: ./dev up --observe keeps them"
    );
    let mut by_trace: BTreeMap<&str, Vec<&Span>> = BTreeMap::new();
    for span in spans {
        by_trace.entry(&span.trace).or_default().push(span);
    }
    let mut listed = Vec::new();
    for (trace, mut spans) in by_trace {
        spans.sort_by_key(|span| span.start);
        let end = spans.iter().map(|span| span.end).max().unwrap_or(0);
        if let Some(first) = spans.first() {
            let took = traces::milliseconds(end.saturating_sub(first.start));
            let line = format!(
                "{trace} {:>4} spans {took:>9.1} ms  {:<15} {}\n",
                spans.len(),
                first.service,
                first.name
            );
            listed.push((first.start, line));
        }
    }
    listed.sort();
    let lines = &listed[listed.len().saturating_sub(NEWEST)..];
    Ok(lines.iter().map(|(_, line)| line.as_str()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(trace: &str, name: &str, start: u64, end: u64) -> Span {
        Span {
            service: "gateway".to_owned(),
            name: name.to_owned(),
            trace: trace.to_owned(),
            id: name.to_owned(),
            parent: None,
            links: Vec::new(),
            start,
            end,
            failed: false,
        }
    }

    #[test]
    fn the_newest_traces_are_listed_by_what_they_began_with_the_newest_last() {
        assert!(newest(&[]).is_err());
        let mut spans = vec![
            span("new", "second", 9_500_000, 9_900_000),
            span("new", "first", 9_000_000, 9_600_000),
            span("old", "only", 1_000_000, 3_000_000),
        ];
        let list = newest(&spans).unwrap();
        let lines: Vec<Vec<&str>> = list
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                ["old", "1", "spans", "2.0", "ms", "gateway", "only"],
                ["new", "2", "spans", "0.9", "ms", "gateway", "first"],
            ]
        );
        spans.extend((0..NEWEST as u64).map(|at| span(&format!("t{at}"), "x", at, at)));
        assert_eq!(newest(&spans).unwrap().lines().count(), NEWEST);
    }

    #[test]
    fn what_is_no_id_is_refused_before_anything_is_read() {
        let layout = Layout::new(std::path::Path::new("/nowhere"));
        for id in [
            "",
            "12",
            &"g".repeat(32),
            "../../../../../../../../../../etc",
        ] {
            assert!(one(&layout, id).unwrap_err().to_string().contains("32 hex"));
        }
    }
}
