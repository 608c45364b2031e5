//! What benchmarks and fault runs print.

use std::fmt;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::stack::root;

/// Says what is measured, of which commit, and on what.
pub(crate) fn begin(parameters: &impl fmt::Debug) {
    println!("{parameters:?}");
    println!("{}; {}\n", commit(), machine());
}

/// Shows what there is to run.
pub(crate) fn list<Choices: clap::Subcommand>(program: &'static str) {
    let command = Choices::augment_subcommands(clap::Command::new(program));
    for choice in command.get_subcommands() {
        let about = choice.get_about().map(ToString::to_string);
        println!("{:<11}{}", choice.get_name(), about.unwrap_or_default());
    }
}

/// Rows under headings, the first column to the left and the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned).into()],
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(formatter, "{cell:<width$}")?,
                    _ => write!(formatter, "  {cell:>width$}")?,
                }
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

/// What a figure should be.
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints a figure beside its target.
pub(crate) fn verdict(what: &str, value: f64, unit: &str, target: &Target) {
    let (wanted, reached, off) = match target {
        Target::AtMost(most) => (
            format!("at most {most}"),
            value <= *most,
            value / most - 1.0,
        ),
        Target::AtLeast(least) => (
            format!("at least {least}"),
            value >= *least,
            1.0 - value / least,
        ),
    };
    let judgement = if reached {
        "reached".to_owned()
    } else {
        format!("missed by {:.0} %", off * 100.0)
    };
    println!(
        "{what}: {} {unit}; target {wanted} {unit}: {judgement}",
        significant(value)
    );
}

/// Of what so many have used together.
pub(crate) fn microseconds_each(used: Duration, count: usize) -> f64 {
    used.as_secs_f64() * 1e6 / count as f64
}

/// A number with about three digits that say something.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// `part` of sorted values (0.5: the median), by the nearest rank; zero of none.
pub(crate) fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// In milliseconds.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

/// The mean; zero of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(root())
            .args(arguments)
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short", "HEAD"]) else {
        return "no commit".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => format!("commit {hash}"),
        _ => format!("commit {hash} with changes"),
    }
}

fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {cores} cores, Linux {}", kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 0.5), Duration::from_millis(50));
        assert_eq!(percentile(&values, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&values[..1], 0.99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn columns_of_a_table_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["round", "ms"]);
        table.row(["1".to_owned(), "12.50".to_owned()]);
        assert_eq!(table.to_string(), "round     ms\n1      12.50\n");
    }
}
