//! Handles of processes.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

/// Whether a process has ended, by its handle.
pub(super) fn has_ended(handle: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(handle, PollFlags::IN)];
    let now = Timespec::default();
    !matches!(retry_on_intr(|| poll(&mut fds, Some(&now))), Ok(0))
}
