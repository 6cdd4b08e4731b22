//! The guard: a tiny process above the supervisor.
//!
//! It is the process that the user has started. It passes signals on to the supervisor, reaps
//! orphans (as process 1 of a container must), and sees to it that nothing of the app is left
//! when the supervisor ends, even by SIGKILL: as outer subreaper it becomes the parent of all
//! that remains. The supervisor in turn watches the guard, and ends the app when that is gone.
//! Only when both are killed in the same moment nobody is left to tidy up; then the workers still
//! end by their parent-death signal, but what they have started themselves is ended only by the
//! next start (`runtime_folder`).
//!
//! Above an app in the background it is a [`Keeper`]: when the supervisor was killed, it starts another one,
//! at once the first time, then after growing pauses. Guard and supervisor share one table of
//! descriptors, so nothing is closed in between: clients wait in the kernel's backlog, workers go on, and the
//! next supervisor takes all of it over ([`Lifeline`]). Meanwhile the guard is the workers' parent. One that
//! cannot take them over is followed by one that starts anew.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::sockopt;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use sys::{Forked, ForkedSharing, LeftOpen, Memo, SharingChild, Signalled, Tie};

pub(crate) use super::ended::Ended;
use super::ended::EndedPipe;
use super::reaping::final_status;
use super::takeover::Notes;
use config::signal_name;
use home::{Exit, runtime_folder};
use process::cgroup::Branch;
use process::{tree, usage};

/// A supervisor that has run for so long was well: one that is killed then is followed at once. If that goes on
/// and on it costs a start a second, a few milliseconds.
const WELL: Duration = Duration::from_secs(1);

/// After so many supervisors in a row that were killed before they were ready, the next one takes nothing over:
/// it may be that what kills them.
const TRIES: u32 = 2;

/// The first pause before a supervisor is started again, and the longest: commands wait for 30 seconds.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Splits this process in two. The guard's half does not return; the supervisor's half does. When
/// the supervisor was killed, the guard says so.
///
/// # Errors
/// If the kernel refuses.
pub fn split(folder: &Path, branch: Option<&Branch>, say: impl Fn(&str)) -> anyhow::Result<()> {
    become_guard()?;
    match sys::fork().context("starting the supervisor")? {
        Forked::Child => become_subreaper(),
        Forked::Parent(supervisor) => {
            let end = watch(supervisor, |_| {});
            tidy_up(folder, branch);
            if let Some(killed) = end.killed(false) {
                say(&format!("maitred: {killed}"));
            }
            sys::exit_now(end.code())
        }
    }
}

/// A guard that starts a supervisor again when it was killed.
#[derive(Debug)]
pub struct Keeper {
    /// An eventfd that a supervisor writes to when it is ready. Before the first one is, no other follows:
    /// whoever starts the app waits for the first, and hears of its end.
    ready: OwnedFd,
    /// A supervisor has been ready.
    was_ready: bool,
    /// How many supervisors in a row were killed before they were well.
    killed: u32,
    /// How many of these before they were ready.
    failed: u32,
    /// A supervisor was killed.
    has_lost_one: bool,
    /// What the last one that was killed has left open.
    left: LeftOpen,
    notes: Memo,
    channels: Memo,
    tie: &'static Tie,
    ended: EndedPipe,
}

/// What a supervisor has of a guard that starts another one when it is killed: by this that one goes on with
/// its instances.
#[derive(Debug)]
pub struct Lifeline {
    /// What is noted of instances.
    pub(crate) notes: Memo,
    /// What is noted of listeners and channels.
    pub(crate) channels: Memo,
    /// What workers end with: guard and supervisor together.
    pub(crate) tie: &'static Tie,
    ended: EndedPipe,
    left: LeftOpen,
    follows_another: bool,
}

impl Lifeline {
    /// What the supervisor before this one has noted, and what it has left open.
    pub(crate) fn take(&mut self) -> (Option<Notes>, LeftOpen) {
        let left = std::mem::take(&mut self.left);
        let notes = self.notes.read().ok();
        let notes = notes.and_then(|text| serde_json::from_slice(&text).ok());
        (notes.filter(|_| self.follows_another), left)
    }

    /// Whether a supervisor of the same app was killed.
    pub(crate) fn follows_another(&self) -> bool {
        self.follows_another
    }

    /// The processes of which the guard has told until now that they have ended.
    pub(crate) fn ended_until_now(&mut self) -> Vec<Ended> {
        std::iter::from_fn(|| self.ended.read().ok()).collect()
    }
}

/// The next process of which the guard tells that it has ended. Loses nothing when it is dropped.
pub(crate) async fn next_ended(lifeline: &mut Option<Lifeline>) -> Option<Ended> {
    match lifeline {
        Some(lifeline) => lifeline.ended.next().await,
        None => std::future::pending().await,
    }
}

impl Keeper {
    /// Makes this process a guard.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new() -> anyhow::Result<Self> {
        become_guard()?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self {
            ready: eventfd(0, flags).context("making an eventfd")?,
            was_ready: false,
            killed: 0,
            failed: 0,
            has_lost_one: false,
            left: LeftOpen::default(),
            notes: Memo::new().context("making room for notes")?,
            channels: Memo::new().context("making room for notes")?,
            // The supervisor must not close it when it ends, nor when it could not begin.
            tie: Box::leak(Box::new(Tie::new().context("making a pipe")?)),
            ended: EndedPipe::new().context("making a pipe")?,
        })
    }

    /// In the supervisor's half: tells the guard that the supervisor takes commands.
    pub fn is_ready(self) {
        let _ = rustix::io::write(&self.ready, &1u64.to_ne_bytes());
        // The table of descriptors is the guard's too: closed here, it would be closed there.
        std::mem::forget(self.ready);
    }

    /// Whether a supervisor was killed, and the next one follows it.
    pub fn has_lost_one(&self) -> bool {
        self.has_lost_one
    }

    /// Splits this process in two. The guard's half returns `None`, and only when the supervisor was killed
    /// and it is time for another one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn split(
        &mut self,
        folder: &Path,
        branch: Option<&Branch>,
        say: impl Fn(&str),
    ) -> anyhow::Result<Option<Lifeline>> {
        let started = Instant::now();
        let left = std::mem::take(&mut self.left).into_all();
        match sys::fork_sharing_descriptors(left).context("starting the supervisor")? {
            ForkedSharing::Child(left) => {
                become_subreaper()?;
                Ok(Some(Lifeline {
                    notes: self.notes.share(),
                    channels: self.channels.share(),
                    tie: self.tie,
                    ended: self.ended.share(),
                    left: left.into_iter().collect(),
                    follows_another: self.has_lost_one,
                }))
            }
            ForkedSharing::Parent(supervisor) => {
                self.outlive(supervisor, folder, branch, &say);
                self.has_lost_one = true;
                if started.elapsed() >= WELL {
                    self.killed = 0;
                }
                self.pause(folder, branch, &say);
                Ok(None)
            }
        }
    }

    /// Waits for the supervisor's end. Ends with it, unless it was killed and another one is to follow, which
    /// takes over what it has left.
    fn outlive(
        &mut self,
        supervisor: SharingChild,
        folder: &Path,
        branch: Option<&Branch>,
        say: &impl Fn(&str),
    ) {
        let end = watch(supervisor.pid(), |ended| self.ended.tell(ended));
        let is_ready = rustix::io::read(&self.ready, &mut [0; 8]).is_ok();
        self.was_ready |= is_ready;
        self.failed = match is_ready {
            true => 0,
            false => self.failed + 1,
        };
        let another_follows = end.is_accident() && self.was_ready;
        let goes_on = another_follows && self.failed < TRIES;
        match supervisor.left_open() {
            // Otherwise whatever else it has left is closed.
            Ok(left) => {
                let kept = left.into_iter().filter(|it| goes_on || is_listener(it));
                self.left = kept.collect();
            }
            Err(error) => say(&format!(
                "maitred: the ports do not stay open, for /proc cannot be read: {error}"
            )),
        }
        if let Some(killed) = end.killed(goes_on) {
            say(&format!("maitred: {killed}"));
        }
        if goes_on {
            return;
        }
        tree::kill_all();
        if another_follows {
            // What it would find noted is no more.
            let _ = (self.notes.write(b""), self.channels.write(b""));
            return;
        }
        tidy_up(folder, branch);
        sys::exit_now(end.code());
    }

    /// Waits until it is time for another supervisor. Ends if it is asked to before.
    fn pause(&mut self, folder: &Path, branch: Option<&Branch>, say: &impl Fn(&str)) {
        let pause = pause_after(self.killed);
        self.killed = self.killed.saturating_add(1);
        say(&format!(
            "maitred: another supervisor follows {}",
            when(pause)
        ));
        let tell = |ended| self.ended.tell(ended);
        if let Some(signal) = wait_for(pause, tell) {
            say(&format!(
                "maitred: {} ends the app before another supervisor has followed",
                signal_name(signal.as_raw())
            ));
            tidy_up(folder, branch);
            sys::exit_now(128 + signal.as_raw());
        }
    }
}

/// The guard of a supervisor, which is asked to end to keep it from starting another one.
pub fn of(supervisor: Pid) -> Option<Pid> {
    let guard = tree::parent(supervisor)?;
    // They are one program with the same arguments. Where the guard is gone, the parent is another one.
    let words = |pid: Pid| fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
    let are_same =
        matches!((words(guard), words(supervisor)), (Ok(one), Ok(other)) if one == other);
    are_same.then_some(guard)
}

fn become_guard() -> anyhow::Result<()> {
    sys::block_signals().context("blocking signals")?;
    become_subreaper()
}

fn become_subreaper() -> anyhow::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .context("becoming subreaper")
}

/// How a supervisor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exited(i32),
    Killed {
        signal: i32,
        /// It, or its guard, was asked to end before.
        asked: bool,
    },
}

impl End {
    fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed { signal, .. } => 128 + signal,
        }
    }

    /// What is said of one that was killed; whether its workers go on.
    fn killed(self, goes_on: bool) -> Option<String> {
        let Self::Killed { signal, .. } = self else {
            return None;
        };
        let signal = signal_name(signal);
        let workers = match goes_on {
            true => "its workers go on",
            false => "its workers are ended with it",
        };
        Some(format!("the supervisor was killed by {signal}; {workers}"))
    }

    /// Whether nobody has asked it to end.
    fn is_accident(self) -> bool {
        match self {
            Self::Exited(_) => false,
            Self::Killed { signal, asked } => {
                !asked && !Signal::from_named_raw(signal).is_some_and(asks_to_end)
            }
        }
    }
}

fn asks_to_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&signal)
}

/// How long to wait after so many supervisors in a row were killed.
fn pause_after(killed: u32) -> Duration {
    let steps = killed.checked_sub(1);
    let factor = steps.map_or(0, |steps| 2u32.saturating_pow(steps));
    PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

fn when(pause: Duration) -> String {
    if pause.is_zero() {
        return "at once".to_owned();
    }
    format!("in {:.1} s", pause.as_secs_f64())
}

/// Waits, and reaps meanwhile; the signal, if one asks this process to end.
fn wait_for(pause: Duration, mut tell: impl FnMut(Option<Ended>)) -> Option<Signal> {
    let until = Instant::now() + pause;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match sys::next_signal_within(left) {
            Ok(Some(Signalled { signal, .. })) => match signal {
                Signal::CHILD => drop(reap(None, false, &mut tell)),
                signal if asks_to_end(signal) => return Some(signal),
                _ => {}
            },
            Ok(None) | Err(_) if left.is_zero() => return None,
            Ok(None) => {}
            Err(_) => std::thread::sleep(left),
        }
    }
}

pub(crate) fn is_listener(left: &OwnedFd) -> bool {
    sockopt::socket_acceptconn(left).unwrap_or(false)
}

/// Ends what the supervisor has left behind.
fn tidy_up(folder: &Path, branch: Option<&Branch>) {
    tree::kill_all();
    // The supervisor removes both; one that was killed could not.
    if let (Some(branch), Some(name)) = (branch, folder.file_name()) {
        branch.remove_groups_of(&name.to_string_lossy());
    }
    runtime_folder::remove(folder);
}

/// Watches over the supervisor until it ends.
fn watch(supervisor: Pid, mut tell: impl FnMut(Option<Ended>)) -> End {
    let mut asked = false;
    loop {
        let Ok(arrived) = sys::next_signal() else {
            continue;
        };
        match arrived.signal {
            Signal::CHILD => {
                if let Some(end) = reap(Some(supervisor), asked, &mut tell) {
                    return end;
                }
            }
            // What the terminal sends has reached the supervisor too.
            _ if arrived.by_kernel => {}
            Signal::CONT | Signal::PIPE => {}
            signal => {
                asked |= asks_to_end(signal);
                // If it has just ended, the next signal is its end.
                let _ = kill_process(supervisor, signal);
            }
        }
    }
}

/// Reaps whatever has ended, and tells of it; how the supervisor has, if it is among it.
fn reap(supervisor: Option<Pid>, asked: bool, tell: &mut impl FnMut(Option<Ended>)) -> Option<End> {
    let mut end = None;
    while let Ok(Some(ended)) = sys::ended_child() {
        let pid = ended.as_raw_nonzero().get();
        // Of what is reaped it cannot be read any more.
        let cpu = usage::cpu_time(pid).unwrap_or_default();
        let Ok(Some((_, status))) = waitpid(Some(ended), WaitOptions::NOHANG) else {
            break;
        };
        let Some(exit) = final_status(status) else {
            continue;
        };
        if supervisor != Some(ended) {
            tell(Some(Ended { pid, exit, cpu }));
            continue;
        }
        end = Some(match exit {
            Exit::Code(code) => End::Exited(code),
            Exit::Signal(signal) => End::Killed { signal, asked },
        });
    }
    // What there was no room for is tried again.
    tell(None);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_what_commands_wait_for() {
        let pauses: Vec<_> = (0..12).map(|it| pause_after(it).as_millis()).collect();
        assert_eq!(pauses[..5], [0, 100, 200, 400, 800]);
        assert!(pauses.is_sorted());
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn whoever_was_asked_to_end_is_not_brought_back() {
        for (signal, is_accident) in [
            (Signal::KILL, true),
            (Signal::ABORT, true),
            (Signal::SEGV, true),
            (Signal::TERM, false),
            (Signal::INT, false),
        ] {
            let end = |asked| End::Killed {
                signal: signal.as_raw(),
                asked,
            };
            assert_eq!(end(false).is_accident(), is_accident, "{signal:?}");
            assert!(!end(true).is_accident(), "{signal:?}");
        }
        for code in [0, 1, 101] {
            assert!(!End::Exited(code).is_accident());
        }
    }
}
