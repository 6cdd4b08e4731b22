//! A process of which the library has not told that it listens: is it still starting, does it
//! listen out of the library's sight, or is there nothing to distribute?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use super::notices::has_mapped;
use process::sockets::{Entry, Table, read, sockets_of};
use process::tree;

/// After so much time it is looked at.
const LOOKS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// And then so often, while it computes.
const LATER: Duration = Duration::from_secs(1);

/// One that computes, or waits for a processor, for more than this part of the time is busy: it may
/// still be starting.
const BUSY: u32 = 50;

/// What a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may still come to listen.
    Starts,
    /// It is idle, and does not listen.
    Idle,
}

/// When to look at a process next, and what the last look has shown. Times are since any fixed
/// moment.
#[derive(Debug)]
pub(super) struct Silence {
    started: Duration,
    looks: usize,
    /// When to look next.
    pub(super) at: Duration,
    /// The moment of the last look, and what the process had computed or waited for a processor
    /// until then.
    seen: (Duration, Duration),
}

impl Silence {
    /// A process that starts now.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            started: now,
            looks: 0,
            at: now + LOOKS[0],
            seen: (now, Duration::ZERO),
        }
    }

    /// Takes note of what the process has wanted of the processors until now, and whether it is
    /// `active`: it wants one, or waits for a disk.
    pub(super) fn look(&mut self, wanted: Duration, active: bool, now: Duration) -> Verdict {
        let (before, had) = std::mem::replace(&mut self.seen, (now, wanted));
        self.looks += 1;
        if let Some(next) = LOOKS.get(self.looks) {
            self.at = self.started + *next;
            return Verdict::Starts;
        }
        self.at = now + LATER;
        // Where it is less than before, a child has ended: something happens.
        let busy = wanted
            .checked_sub(had)
            .is_none_or(|wanted| wanted * BUSY > now.saturating_sub(before));
        if busy || active {
            Verdict::Starts
        } else {
            Verdict::Idle
        }
    }
}

/// A process, and all that descend from it.
pub(super) fn tree(pid: i32) -> Vec<Pid> {
    let Some(root) = Pid::from_raw(pid) else {
        return Vec::new();
    };
    let mut tree = tree::descendants(root);
    tree.push(root);
    tree
}

/// How long all threads of these processes have computed, or waited for a processor.
pub(super) fn wanted(tree: &[Pid]) -> Duration {
    let threads = tree.iter().flat_map(|pid| {
        let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
        tasks.into_iter().flatten().flatten()
    });
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let mut fields = text.split_whitespace().map(str::parse::<u64>);
        Some(fields.next()?.ok()?.saturating_add(fields.next()?.ok()?))
    });
    Duration::from_nanos(nanos.fold(0, u64::saturating_add))
}

/// Whether a thread of these processes runs, wants to, or waits for a disk: what one has waited that
/// gets no processor at all, the kernel counts only when it gets one.
pub(super) fn is_active(tree: &[Pid]) -> bool {
    let mut threads = tree.iter().flat_map(|pid| {
        let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
        tasks.into_iter().flatten().flatten()
    });
    threads.any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        state.is_some_and(|state| state.starts_with(['R', 'D']))
    })
}

/// A listener that the library has not told of.
#[derive(Debug)]
pub(super) struct Unseen {
    /// Why the library has not seen it.
    pub(super) reason: String,
    /// What it was asked for is impossible for this program, not only for this process of it.
    pub(super) is_sure: bool,
}

/// Every TCP socket that listens.
pub(super) fn listeners() -> Vec<Entry> {
    read(Table::TcpListeners)
}

/// One of these processes that has one of these listeners, of which nothing is known.
pub(super) fn unseen_listener(tree: &[Pid], library: &Path, unknown: &[Entry]) -> Option<Unseen> {
    if unknown.is_empty() {
        return None;
    }
    tree.iter().find_map(|pid| {
        let pid = pid.as_raw_nonzero().get();
        let held = sockets_of(pid)?;
        let of_process = |entry: &&Entry| held.iter().any(|(_, inode)| *inode == entry.inode);
        let address = unknown.iter().find(of_process)?.local;
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let shown = fs::read_link(&link).unwrap_or_default();
        let (why, is_sure) = match config::takes_no_library(&link) {
            Some(why) => (why, true),
            None if has_mapped(pid, library) => (
                "makes its system calls itself, or was given the socket by another program",
                true,
            ),
            None => ("runs without LD_PRELOAD in its environment", false),
        };
        let program = shown.display();
        let reason = format!("{program} (pid {pid}) listens on {address} and {why}");
        Some(Unseen { reason, is_sure })
    })
}

/// Whether one of these processes has a UDP socket: there is no more to be seen of what it serves.
pub(super) fn has_datagrams(tree: &[Pid]) -> bool {
    let sockets = read(Table::Udp);
    let held = |pid: &Pid| sockets_of(pid.as_raw_nonzero().get()).unwrap_or_default();
    let mut held = tree.iter().flat_map(held);
    held.any(|(_, inode)| sockets.iter().any(|entry| entry.inode == inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks at a process that wants so much, in milliseconds, between one look and the next.
    fn verdicts(wanted: &[u64]) -> Vec<Verdict> {
        let mut silence = Silence::new(SECOND);
        let mut total = Duration::ZERO;
        let looks = wanted.iter().map(|wanted| {
            total += Duration::from_millis(*wanted);
            let at = silence.at;
            silence.look(total, false, at)
        });
        looks.collect()
    }

    #[test]
    fn an_idle_process_is_found_after_ten_seconds() {
        use Verdict::{Idle, Starts};
        assert_eq!(verdicts(&[500, 10, 0]), [Starts, Starts, Idle]);
        let mut silence = Silence::new(SECOND);
        let mut times = Vec::new();
        for _ in 0..4 {
            times.push(silence.at);
            silence.look(Duration::ZERO, false, silence.at);
        }
        assert_eq!(times, [2, 4, 11, 12].map(Duration::from_secs));
    }

    #[test]
    fn one_that_computes_or_waits_for_a_processor_still_starts() {
        use Verdict::{Idle, Starts};
        assert_eq!(
            verdicts(&[900, 1800, 6000, 700, 30, 10, 0]),
            [Starts, Starts, Starts, Starts, Starts, Idle, Idle]
        );
    }

    #[test]
    fn one_whose_child_has_ended_still_starts() {
        let mut silence = Silence::new(SECOND);
        for wanted in [3, 3] {
            silence.look(SECOND * wanted, false, silence.at);
        }
        assert_eq!(silence.look(SECOND, false, silence.at), Verdict::Starts);
        assert_eq!(silence.look(SECOND, false, silence.at), Verdict::Idle);
    }

    #[test]
    fn one_that_gets_no_processor_or_waits_for_a_disk_still_starts() {
        let mut silence = Silence::new(SECOND);
        let mut look = |active| silence.look(Duration::ZERO, active, silence.at);
        assert_eq!([true; 5].map(&mut look), [Verdict::Starts; 5]);
        assert_eq!(look(false), Verdict::Idle);
    }

    #[test]
    fn what_this_process_has_done_is_seen() {
        let own = tree(i32::try_from(std::process::id()).unwrap());
        // This thread reads its own state.
        assert!(is_active(&own));
        assert!(wanted(&own) > Duration::ZERO);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut unknown = listeners();
        unknown.retain(|entry| entry.local == address);
        let unseen = unseen_listener(&own, Path::new("/no/such"), &unknown).unwrap();
        let expected = format!("listens on {address} and runs without LD_PRELOAD");
        assert!(unseen.reason.contains(&expected), "{}", unseen.reason);
        assert!(!unseen.is_sure);
        assert!(unseen_listener(&own, Path::new("/no/such"), &[]).is_none());
    }
}
