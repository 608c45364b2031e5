//! The logs of the processes.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};

use crate::layout::Layout;

/// A log that is longer than this when its process starts becomes the previous one.
const ROTATE_AT: u64 = 16 << 20;
const SHOWN_LINES: usize = 20;

/// The log of a process, to append to.
pub(crate) fn open(layout: &Layout, name: &str) -> Result<File> {
    let path = layout.log_of(name);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > ROTATE_AT) {
        fs::rename(&path, path.with_extension("log.1"))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The last lines of a log, to be put behind an error.
pub(crate) fn end(layout: &Layout, name: &str) -> String {
    let path = layout.log_of(name);
    let lines = last_lines(&path).unwrap_or_default();
    if lines.is_empty() {
        String::new()
    } else {
        format!("\nend of {}:\n{lines}", path.display())
    }
}

fn last_lines(path: &std::path::Path) -> Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(1 << 16)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
}
