//! Spans as the collector's file exporter writes them: a batch of OTLP in JSON on each line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// The collector beside the system writes to a file of this name, and puts older ones beside it under longer names.
pub const FILE: &str = "traces.jsonl";

/// One span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The process that it comes from.
    pub service: String,
    /// What was done.
    pub name: String,
    /// Id of its trace, 32 hexadecimal digits.
    pub trace: String,
    /// Its own id, 16 hexadecimal digits.
    pub id: String,
    /// The span that it is a part of; it may be of another process.
    pub parent: Option<String>,
    /// Trace and id of spans elsewhere that led to it.
    pub links: Vec<(String, String)>,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Whether it says that it failed.
    pub failed: bool,
}

/// All spans that are kept in a folder; a line that is being written is left out.
///
/// # Errors
/// When a file cannot be read; that there is none is no error.
pub fn all(folder: &Path) -> Result<Vec<Span>> {
    read(folder, "")
}

/// The spans of one trace.
///
/// # Errors
/// As [`all`].
pub fn of_trace(folder: &Path, trace: &str) -> Result<Vec<Span>> {
    let mut spans = read(folder, trace)?;
    spans.retain(|span| span.trace == trace);
    Ok(spans)
}

/// One line for each span, below its parent: when it began after the first, how long it took, of which process, what.
pub fn tree(spans: &[Span]) -> String {
    // A batch that was sent twice has its spans twice.
    let spans: BTreeMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let mut below: BTreeMap<Option<&str>, Vec<&Span>> = BTreeMap::new();
    for span in spans.values() {
        // The parent of the first may be the caller's, and another's may have been lost.
        let parent = span.parent.as_deref();
        let parent = parent.filter(|parent| spans.contains_key(parent));
        below.entry(parent).or_default().push(span);
    }
    for siblings in below.values_mut() {
        siblings.sort_by_key(|span| std::cmp::Reverse(span.start));
    }
    let origin = spans.values().map(|span| span.start).min().unwrap_or(0);
    let mut left: Vec<(&Span, usize)> = Vec::new();
    left.extend(
        below
            .remove(&None)
            .into_iter()
            .flatten()
            .map(|span| (span, 0)),
    );
    let mut text = String::new();
    while let Some((span, depth)) = left.pop() {
        let others: BTreeSet<&str> = span
            .links
            .iter()
            .map(|(trace, _)| trace.as_str())
            .filter(|trace| *trace != span.trace)
            .collect();
        let others: String = others
            .iter()
            .map(|trace| format!("  with {trace}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:>9.1} ms {:>9.1} ms  {:<15} {:indent$}{}{}{others}",
            milliseconds(span.start.saturating_sub(origin)),
            milliseconds(span.end.saturating_sub(span.start)),
            span.service,
            "",
            span.name,
            if span.failed { "  FAILED" } else { "" },
            indent = 2 * depth,
        );
        let children = below.remove(&Some(span.id.as_str()));
        left.extend(children.into_iter().flatten().map(|span| (span, depth + 1)));
    }
    text
}

/// Nanoseconds as milliseconds.
pub fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}

fn read(folder: &Path, containing: &str) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for path in files(folder, "traces")? {
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for line in BufReader::new(file).split(b'\n') {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            let line = String::from_utf8_lossy(&line);
            if line.contains(containing)
                && let Ok(batch) = serde_json::from_str(&line)
            {
                spans.extend(spans_of(&batch));
            }
        }
    }
    Ok(spans)
}

/// Files in a folder whose names begin so, by name; none where there is no such folder.
pub(crate) fn files(folder: &Path, beginning: &str) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", folder.display()));
        }
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        let named = entry.file_name().to_string_lossy().starts_with(beginning);
        if named && entry.file_type()?.is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn spans_of(batch: &Value) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_process in array(&batch["resourceSpans"]) {
        let service = array(&of_process["resource"]["attributes"])
            .find(|attribute| attribute["key"] == "service.name")
            .map(|attribute| text(&attribute["value"]["stringValue"]))
            .unwrap_or_default();
        for scope in array(&of_process["scopeSpans"]) {
            spans.extend(array(&scope["spans"]).map(|span| {
                Span {
                    service: service.clone(),
                    name: text(&span["name"]),
                    trace: text(&span["traceId"]),
                    id: text(&span["spanId"]),
                    parent: Some(text(&span["parentSpanId"])).filter(|parent| !parent.is_empty()),
                    links: array(&span["links"])
                        .map(|link| (text(&link["traceId"]), text(&link["spanId"])))
                        .collect(),
                    start: nanoseconds(&span["startTimeUnixNano"]),
                    end: nanoseconds(&span["endTimeUnixNano"]),
                    // STATUS_CODE_ERROR
                    failed: span["status"]["code"] == 2,
                }
            }));
        }
    }
    spans
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// 64-bit numbers are text in OTLP's JSON.
fn nanoseconds(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"resourceSpans":[
        {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"user"}}]},"scopeSpans":[{"scope":{},"spans":[
            {"traceId":"aa","spanId":"02","parentSpanId":"01","name":"UpdateProfile","startTimeUnixNano":"1002000000","endTimeUnixNano":"1004500000","status":{}},
            {"traceId":"aa","spanId":"03","parentSpanId":"02","name":"RecordActivities","startTimeUnixNano":"2000000000","endTimeUnixNano":"2001000000",
             "links":[{"traceId":"bb","spanId":"09"},{"traceId":"aa","spanId":"02"}],"status":{"code":2}}]}]},
        {"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"gateway"}}]},"scopeSpans":[{"spans":[
            {"traceId":"aa","spanId":"01","parentSpanId":"00","name":"/v1/users","startTimeUnixNano":"1000000000","endTimeUnixNano":"1010000000"},
            {"traceId":"bb","spanId":"09","parentSpanId":"","name":"other","startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#;

    #[test]
    fn a_trace_is_read_from_all_files_and_printed_as_a_tree() {
        let folder =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        assert!(all(&folder).unwrap().is_empty());
        fs::create_dir_all(&folder).unwrap();
        let line = LINE.replace('\n', "");
        // An older file has the same batch once more, and the newest ends within a line.
        fs::write(folder.join("traces-2026.jsonl"), format!("{line}\n")).unwrap();
        fs::write(folder.join(FILE), format!("{line}\n{}", &line[..300])).unwrap();
        fs::write(folder.join("other.jsonl"), format!("{line}\n")).unwrap();

        assert_eq!(all(&folder).unwrap().len(), 8);
        let spans = of_trace(&folder, "aa").unwrap();
        assert_eq!(spans.len(), 6);
        assert_eq!(
            tree(&spans),
            "      0.0 ms      10.0 ms  gateway         /v1/users\n      \
             2.0 ms       2.5 ms  user              UpdateProfile\n   \
             1000.0 ms       1.0 ms  user                RecordActivities  FAILED  with bb\n"
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn spans_whose_parents_lead_in_a_circle_do_not_keep_the_tree_from_its_end() {
        let batch = LINE.replace("\"parentSpanId\":\"00\"", "\"parentSpanId\":\"03\"");
        let spans = spans_of(&serde_json::from_str(&batch).unwrap());
        assert_eq!(tree(&spans).lines().count(), 1);
    }
}
