//! What the kernel says of a process: CPU time and memory.

use std::fs;
use std::time::Duration;

/// CPU time that the process and the children it waited for have used.
pub fn cpu(pid: i32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is a name in parentheses that may hold anything.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks: u64 = [11, 12, 13, 14]
        .iter()
        .filter_map(|index| fields.get(*index)?.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10) // USER_HZ is 100 on every Linux that we run on
}

/// CPU time of a process and everything below it that still runs.
pub fn cpu_of_tree(pid: i32) -> Duration {
    cpu(pid) + children(pid).into_iter().map(cpu_of_tree).sum::<Duration>()
}

/// CPU time of the thread that asks.
pub fn cpu_of_this_thread() -> Duration {
    // Nanoseconds on a processor come first; see proc(5).
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let running = times
        .split_whitespace()
        .next()
        .and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(running.unwrap_or(0))
}

/// Proportional set size in bytes: memory of its own, and its share of what it shares.
pub fn pss(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|kibibytes| kibibytes.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

fn children(pid: i32) -> Vec<i32> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|children| {
            children
                .split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}
