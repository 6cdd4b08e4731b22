//! A watch over a thread that is never to wait for anything but events: how long it has computed between
//! two sleeps, and how long it has slept in a call that is not its epoll.
//!
//! Both are counted so that other programs on a busy machine do not lengthen them. What the thread
//! computes is its own processor time. A sleep is measured by the processor time that the watch itself
//! spends on looking at it: whoever could wake the thread gets as much meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Between two looks while the thread sleeps in its epoll, or runs.
const PACE: Duration = Duration::from_micros(500);

/// `epoll_wait`, `epoll_pwait`, `epoll_pwait2`.
const EPOLLS: [i64; 3] = [232, 281, 441];

/// What has been seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) looks: u64,
    /// Those that found it asleep in its epoll.
    pub(crate) at_rest: u64,
    /// Processor time between two sleeps, the longest first.
    pub(crate) longest_runs: [Duration; 3],
    /// In one call that is no epoll.
    pub(crate) longest_sleep: Duration,
    /// How often it was found asleep in such a call, by its number.
    pub(crate) calls: BTreeMap<i64, u64>,
}

impl Seen {
    /// A run has become longer.
    fn note_run(&mut self, before: Duration, run: Duration) {
        let runs = &mut self.longest_runs;
        let noted = runs
            .iter()
            .position(|it| *it == before && !before.is_zero());
        let place = &mut runs[noted.unwrap_or(2)];
        *place = run.max(*place);
        runs.sort_unstable_by(|one, other| other.cmp(one));
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    is_over: AtomicBool,
}

/// Somebody who looks at a thread all the time.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    watcher: Option<JoinHandle<()>>,
}

impl Watch {
    /// Over the thread of this name.
    pub(crate) fn of_thread(pid: i32, name: &str) -> Watch {
        let is_meant = |folder: &fs::DirEntry| {
            let comm = fs::read_to_string(folder.path().join("comm")).unwrap_or_default();
            comm.trim_end() == name
        };
        let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let folder = threads.find(is_meant).expect("no thread of this name");
        Watch::new(Thread::open(&folder.path().display().to_string()))
    }

    fn new(thread: Thread) -> Watch {
        let shared = Arc::new(Shared::default());
        let noted = shared.clone();
        let watcher = thread::spawn(move || {
            let mut sight = Sight::default();
            while !noted.is_over.load(Ordering::Relaxed) {
                let Some(look) = thread.look() else {
                    // It has ended.
                    return;
                };
                sight.take_in(look, &mut noted.seen.lock().unwrap());
                if !sight.is_asleep_elsewhere() {
                    thread::park_timeout(PACE);
                }
            }
        });
        Watch {
            shared,
            watcher: Some(watcher),
        }
    }

    /// What has been seen so far.
    fn so_far(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }

    /// What has been seen since the last question.
    pub(crate) fn seen(&self) -> Seen {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            watcher.thread().unpark();
            assert!(watcher.join().is_ok() || thread::panicking());
        }
    }
}

/// A thread's files in `/proc`.
struct Thread {
    status: File,
    schedstat: File,
    syscall: File,
}

/// A look at a thread.
struct Look {
    /// How often it has gone to sleep.
    sleeps: u64,
    /// Its processor time.
    computed: Duration,
    /// The call in which it sleeps. One that waits for memory is in none.
    asleep_in: Option<i64>,
}

impl Thread {
    fn open(folder: &str) -> Thread {
        let open = |name: &str| File::open(format!("{folder}/{name}")).unwrap();
        Thread {
            status: open("status"),
            schedstat: open("schedstat"),
            syscall: open("syscall"),
        }
    }

    fn look(&self) -> Option<Look> {
        let status = read(&self.status)?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let schedstat = read(&self.schedstat)?;
        let syscall = read(&self.syscall)?;
        let computed = schedstat.split(' ').next()?.parse().ok()?;
        let is_asleep = field("State:")?.trim().starts_with(['S', 'D']);
        let call = syscall.split_whitespace().next()?.parse().ok();
        Some(Look {
            sleeps: field("voluntary_ctxt_switches:")?.trim().parse().ok()?,
            computed: Duration::from_nanos(computed),
            asleep_in: call.filter(|call: &i64| is_asleep && *call >= 0),
        })
    }
}

fn read(file: &File) -> Option<String> {
    let mut text = [0; 4096];
    let len = file.read_at(&mut text, 0).ok()?;
    Some(String::from_utf8_lossy(&text[..len]).into_owned())
}

/// What the looks at the thread have shown since it last went to sleep.
#[derive(Default)]
struct Sight {
    sleeps: u64,
    computed: Duration,
    /// How much it has computed since, as far as that has been noted.
    run: Duration,
    /// Since when it has been asleep elsewhere, on the watch's own clock.
    asleep_since: Option<Duration>,
}

impl Sight {
    fn is_asleep_elsewhere(&self) -> bool {
        self.asleep_since.is_some()
    }

    fn take_in(&mut self, look: Look, seen: &mut Seen) {
        let now = own_processor_time();
        seen.looks += 1;
        if look.sleeps != self.sleeps || seen.looks == 1 {
            *self = Sight {
                sleeps: look.sleeps,
                computed: look.computed,
                ..Sight::default()
            };
        }
        let run = look.computed.saturating_sub(self.computed);
        seen.note_run(std::mem::replace(&mut self.run, run), run);
        match look.asleep_in {
            Some(call) if !EPOLLS.contains(&call) => {
                let since = *self.asleep_since.get_or_insert(now);
                seen.longest_sleep = seen.longest_sleep.max(now - since);
                *seen.calls.entry(call).or_default() += 1;
            }
            asleep_in => {
                self.asleep_since = None;
                seen.at_rest += u64::from(asleep_in.is_some());
            }
        }
    }
}

fn own_processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
}

/// A thread that waits for somebody, and then computes without end, is found out.
#[test]
fn a_thread_that_is_held_up_is_seen() {
    const LONG: Duration = Duration::from_millis(20);
    /// Ends the thread, also when a check fails.
    struct Ends(Arc<AtomicBool>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (mut told, mut tell) = std::os::unix::net::UnixStream::pair().unwrap();
    let ends = Ends(Arc::default());
    let has_computed = ends.0.clone();
    let held = thread::Builder::new()
        .name("held up".into())
        .spawn(move || {
            // By now it has its name.
            told.write_all(b"x").unwrap();
            assert_eq!(told.read(&mut [0; 1]).unwrap(), 0);
            while !has_computed.load(Ordering::Relaxed) {}
        });
    assert_eq!(tell.read(&mut [0; 1]).unwrap(), 1);
    let watch = Watch::of_thread(std::process::id().cast_signed(), "held up");
    let until = |what: fn(&Seen) -> Duration| {
        let deadline = std::time::Instant::now() + crate::victims::PATIENCE;
        while what(&watch.so_far()) < LONG {
            assert!(std::time::Instant::now() < deadline, "{:?}", watch.so_far());
            thread::sleep(PACE);
        }
    };
    until(|seen| seen.longest_sleep);
    drop(tell);
    until(|seen| seen.longest_runs[0]);
    drop(ends);
    held.unwrap().join().unwrap();
    let seen = watch.seen();
    // It has slept in a call, and never in an epoll; and it was one run.
    assert!(seen.longest_runs[1] < LONG, "{seen:?}");
    assert!(
        seen.calls.values().sum::<u64>() > 0 && seen.at_rest == 0,
        "{seen:?}"
    );
}
