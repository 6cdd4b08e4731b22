//! Descriptors of a supervisor: it may need many, for its workers' output and for connections on
//! their way, and none of them shall have to be waited for.

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio;

use dispatcher::LEAST_RESERVE;

/// So many have room in the kernel's table from the beginning, at 8 bytes each.
const ROOM: u64 = 1024;

/// Makes room for descriptors, as long as there is one thread. Later the kernel would stop the
/// thread that needs a larger table for a grace period of RCU, 10 to 20 ms (`expand_fdtable` in its
/// `fs/file.c`): in the middle of a start, for 64 are used up with a handful of workers.
pub fn make_room() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(ROOM);
    let highest = i32::try_from(limit.min(ROOM).saturating_sub(1)).unwrap_or(0);
    // The table grows for the number, and keeps its size. Without it all works too, but slower.
    drop(fcntl_dupfd_cloexec(stdio::stdin(), highest));
}

/// What we need for ourselves, for each instance, and for each client whose request is placed: its
/// connection and one to a worker.
const OURS: u64 = 20;
const INSTANCES: u64 = 12;
const CLIENTS: u64 = 2;

/// An app that serves fewer clients at a time is told so.
const FEW: u64 = 64;

/// How many files must be able to be open where requests are placed, if that is more than may be.
/// The dispatcher leaves one in eight free, or [`LEAST_RESERVE`].
pub(super) fn shortage(instances: usize) -> Option<(u64, u64)> {
    let limit = getrlimit(Resource::Nofile).current?;
    let needed = needed(instances);
    (limit < needed).then_some((limit, needed))
}

fn needed(instances: usize) -> u64 {
    let instances = u64::try_from(instances).unwrap_or(u64::MAX);
    let all = OURS + INSTANCES.saturating_mul(instances) + CLIENTS * FEW;
    (all.saturating_mul(8) / 7).max(all + LEAST_RESERVE as u64)
}

/// Raises our own limit as far as it goes. The one that there was, which workers keep.
pub(super) fn raise_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, the old one serves.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    );
    limit.current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_grows_with_the_instances() {
        assert_eq!(needed(4), 236);
        assert!(needed(1) < 1024 && needed(50) < 1024 && needed(100) > 1024);
    }
}
