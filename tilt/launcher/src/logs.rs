//! What the processes of an instance wrote of one trace.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::layout::Layout;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// RFC 3339, in UTC.
    pub time: String,
    /// Who wrote it.
    pub process: String,
    /// The line: a JSON object.
    pub text: String,
}

/// The lines of all processes that have this trace id, by time. Logs that were put away are read, too.
///
/// # Errors
/// When a log cannot be read; that there is none is no error.
pub fn of_trace(layout: &Layout, trace: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for path in crate::traces::files(&layout.log(), "")? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // auth.log, auth.log.1
        let Some((process, _)) = name.split_once(".log") else {
            continue;
        };
        collect(&path, process, trace, &mut lines)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    lines.sort_by(|one, other| one.time.cmp(&other.time));
    Ok(lines)
}

fn collect(path: &Path, process: &str, trace: &str, lines: &mut Vec<Line>) -> std::io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        // Most lines are of other traces: they are not taken apart.
        if text.contains(trace)
            && let Ok(fields) = serde_json::from_str::<Value>(&text)
            && fields["trace_id"] == trace
        {
            lines.push(Line {
                time: fields["time"].as_str().unwrap_or_default().to_owned(),
                process: process.to_owned(),
                text: text.trim_end().to_owned(),
            });
        }
        bytes.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lines_of_a_trace_come_from_all_logs_in_the_order_of_time() {
        let dev =
            std::env::temp_dir().join(format!("grimoire-test-{}", uuid::Uuid::now_v7().simple()));
        let layout = Layout::at(Path::new("."), &dev);
        layout.create().unwrap();
        let line = |second: u32, trace: &str| {
            format!("{{\"time\":\"2026-01-02T03:04:0{second}.000Z\",\"trace_id\":\"{trace}\"}}\n")
        };
        for (name, text) in [
            ("auth.log", line(3, "aa") + &line(4, "bb")),
            ("auth.log.1", line(1, "aa")),
            ("user.log", format!("not JSON: aa\n{}", line(2, "aa"))),
            (
                "gateway.log",
                "{\"time\":\"x\",\"path\":\"aa\"}\n".to_owned(),
            ),
        ] {
            fs::write(layout.log().join(name), text).unwrap();
        }
        let lines = of_trace(&layout, "aa").unwrap();
        let places: Vec<(&str, &str)> = lines
            .iter()
            .map(|line| (line.process.as_str(), &line.time[17..19]))
            .collect();
        assert_eq!(places, [("auth", "01"), ("user", "02"), ("auth", "03")]);
        fs::remove_dir_all(&dev).unwrap();
    }
}
