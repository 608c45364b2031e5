//! Connections are open files, and a process may have only so many.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that are not connections of clients: connections to services, sockets of the runtime, the log.
const OTHERS: u64 = 512;

/// How many connections of clients there is room for, at most `wanted`. Raises what this process may have open as far as it may
/// be raised: the usual bound of 1024 is for programs that use `select`.
pub(crate) fn room_for(wanted: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted;
    };
    let needed = (wanted as u64).saturating_add(OTHERS);
    let raised = needed.min(hard);
    // Not every system lets a process have as many as its hard limit says.
    let may = if soft >= needed || setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_err() {
        soft
    } else {
        raised
    };
    let room = room_within(may, wanted);
    if room < wanted {
        tracing::warn!(
            open_files = may,
            connections = room,
            wanted,
            "fewer connections than configured: raise the limit of open files (ulimit -n)"
        );
    }
    room
}

fn room_within(open_files: u64, wanted: usize) -> usize {
    // Where even the others do not fit, half is better than none.
    let room = open_files.saturating_sub(OTHERS).max(open_files / 2);
    usize::try_from(room).unwrap_or(usize::MAX).min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(room_within(1_048_576, 10_000), 10_000);
        assert_eq!(room_within(2048, 10_000), 1536);
        assert_eq!(room_within(256, 10_000), 128);
    }
}
