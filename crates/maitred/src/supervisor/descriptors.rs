//! Descriptors of a supervisor: it may need many, for its workers' output and for connections on
//! their way, and none of them shall have to be waited for.

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio;

/// So many have room in the kernel's table from the beginning, at 8 bytes each.
const ROOM: u64 = 1024;

/// Makes room for descriptors, as long as there is one thread. Later the kernel would stop the
/// thread that needs a larger table for a grace period of RCU, 10 to 20 ms (`expand_fdtable` in its
/// `fs/file.c`): in the middle of a start, for 64 are used up with a handful of workers.
pub(crate) fn make_room() {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(ROOM);
    let highest = i32::try_from(limit.min(ROOM).saturating_sub(1)).unwrap_or(0);
    // The table grows for the number, and keeps its size. Without it all works too, but slower.
    drop(fcntl_dupfd_cloexec(stdio::stdin(), highest));
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
