//! What each Envoy may hold, within what the system allows this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::args::Args;
use crate::envoy::bootstrap::Capacity;

/// Files that an Envoy opens besides connections: sockets to us, logs, listeners, event loops.
const OTHER_FILES: u64 = 256;

/// What the arguments ask for, with fewer connections where Envoy could not open as many files: an agent's
/// connection takes one to its upstream besides. Takes every open file that the system allows, for the Envoys that
/// inherit the limit.
pub(super) fn within_limits(args: &Args) -> Capacity {
    let wanted = Capacity { connections: args.envoy_connections, heap_mib: args.envoy_heap };
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let possible = files.map_or(wanted.connections, connections);
    if possible < wanted.connections {
        tracing::warn!(connections = possible, "the limit of open files allows each Envoy fewer connections");
    }
    Capacity { connections: wanted.connections.min(possible), ..wanted }
}

fn connections(files: u64) -> u32 {
    u32::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::connections;

    #[test]
    fn a_connection_takes_two_files_and_one_connection_is_always_possible() {
        for (files, expected) in [(20_256, 10_000), (1_024, 384), (0, 1), (u64::MAX, u32::MAX)] {
            assert_eq!(connections(files), expected, "{files}");
        }
    }
}
