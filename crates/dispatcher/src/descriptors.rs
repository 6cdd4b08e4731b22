//! Descriptors of this process: how many of them clients may have, where requests are placed.
//!
//! A client has one, and its request needs another, for the connection to a worker. Without one for
//! that nothing is answered and no client leaves: so the two are divided before clients come in, and
//! some are left for workers that register, for commands, and for what is taken back.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

/// So often it is counted at most how many there are, and so much longer than the count took
/// where that takes long.
const PAUSE: Duration = Duration::from_millis(100);
const SHARE_OF_TIME: u32 = 50;

/// What part of all is left for the rest, within these bounds. The lower one lets a reload work under
/// load: one instance starts, which has 12 and needs 8 for a moment, while the files of the one
/// that was replaced before are being closed, beside a command or two.
const PART: usize = 8;
pub const LEAST: usize = 40;
const MOST: usize = 256;

/// Where that leaves next to nothing, so much is for clients nevertheless, four of them, as long as
/// an instance can be started: one request that lasts must not keep all others out.
const FEWEST: usize = 9;
const LAST: usize = 20;

/// How many clients there may be, and how many connections to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) clients: usize,
    pub(super) pairs: usize,
}

/// What clients and connections to workers may have of `limit` descriptors, of which `others` serve
/// something else. Where nothing is left at all, one request at a time is served.
fn divide(limit: usize, others: usize) -> Shares {
    let reserve = (limit / PART).clamp(LEAST, MOST);
    let fewest = limit.saturating_sub(others + LAST).min(FEWEST);
    let left = limit.saturating_sub(others + reserve).max(fewest).max(3);
    // A new connection to a worker has two descriptors for a moment.
    let clients = ((left - 1) / 2).max(2);
    Shares {
        clients,
        pairs: left.saturating_sub(clients + 1).max(1),
    }
}

/// Counts descriptors now and then.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    counted_until: Option<Instant>,
}

impl Descriptors {
    /// What there is to divide, if it is time to look again. `of_proxy` are those that clients and
    /// connections to workers have.
    pub(super) fn shares(&mut self, of_proxy: impl FnOnce() -> usize) -> Option<Shares> {
        let now = Instant::now();
        if self.counted_until.is_some_and(|until| now < until) {
            return None;
        }
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let shares = divide(limit, open().saturating_sub(of_proxy()));
        let took = now.elapsed();
        self.counted_until = Some(now + took + PAUSE.max(took * SHARE_OF_TIME));
        Some(shares)
    }
}

/// From this descriptor's number on they are scarce: three quarters of what we may have. The kernel
/// gives the lowest free number.
pub(super) fn descriptors_for_connections() -> i32 {
    let limit = getrlimit(Resource::Nofile).current;
    i32::try_from(limit.unwrap_or(u64::MAX) / 4 * 3).unwrap_or(i32::MAX)
}

/// How many descriptors this process has.
fn open() -> usize {
    open_in("/proc/self/fd").unwrap_or(0)
}

/// How many descriptors a process has, by the folder that shows them.
fn open_in(folder: &str) -> Option<usize> {
    // Since Linux 6.2 the folder's size tells.
    match fs::metadata(folder).ok()?.len() {
        0 => Some(fs::read_dir(folder).ok()?.count()),
        count => usize::try_from(count).ok(),
    }
}

/// So many a worker must have left to take a connection. (Node may have given up the one that it has
/// in reserve for a moment.)
const TO_ACCEPT: usize = 2;

/// Whether a worker has no descriptors left to take a connection. Not, if the kernel does not tell.
pub(super) fn are_used_up(pid: i32) -> bool {
    let limit = || -> Option<usize> {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let open = open_in(&format!("/proc/{pid}/fd"));
    open.zip(limit())
        .is_some_and(|(open, limit)| open + TO_ACCEPT > limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_connection_to_a_worker_and_something_is_left() {
        for limit in [64, 128, 256, 1024, 20_000, 1 << 20] {
            for others in [0, 20, 40, limit / 2, limit - 5, limit, 2 * limit] {
                let Shares { clients, pairs } = divide(limit, others);
                assert!(clients >= 2 && pairs >= 1, "{limit} {others}");
                let free = limit.saturating_sub(others);
                if free >= LAST + FEWEST {
                    assert!(clients >= 4 && pairs >= 4, "{limit} {others}");
                }
                if free > FEWEST + (limit / PART).clamp(LEAST, MOST) + 2 {
                    assert!(pairs >= clients, "{limit} {others}");
                    assert!(clients + pairs + 1 + LEAST <= free, "{limit} {others}");
                }
            }
        }
        let all = Shares {
            clients: 427,
            pairs: 428,
        };
        assert_eq!(divide(1024, 40), all);
    }

    #[test]
    fn what_is_open_is_counted() {
        let before = open();
        let files: Vec<_> = (0..100)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        // Other tests open and close some of their own.
        assert!(open() > before.saturating_sub(50) && open() >= 100);
        assert!(!are_used_up(std::process::id() as i32));
        assert!(!are_used_up(-5));
        drop(files);
        let mut descriptors = Descriptors::default();
        assert!(descriptors.shares(|| 0).is_some());
        assert!(descriptors.shares(|| 0).is_none());
    }
}
