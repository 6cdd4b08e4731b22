//! A guard that outlives its supervisor: above an app in the background.
//!
//! When the supervisor was killed, it starts another one: at once, and after growing pauses if that is killed
//! soon, too. Guard and supervisor share one table of descriptors, so nothing is closed in between. Clients
//! wait in the kernel's backlog, workers go on, and the next supervisor takes all of it over ([`Lifeline`]).
//! Meanwhile the guard is the workers' parent. If two supervisors in a row fail to take over, the next one
//! starts the app anew.
//!
//! For an update it becomes another version of itself ([`super::succession`]), whose supervisor goes on in the
//! same way.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::sockopt;
use rustix::process::Signal;
use sys::{ForkedSharing, LeftOpen, Memo, SharingChild, Signalled, Tie};

use super::ended::{Ended, EndedPipe};
use super::guard::{asks_to_end, become_guard, become_subreaper, reap, tidy_up, watch};
use super::succession::{self, Order, Predecessor, Succession};
use super::takeover::Notes;
use config::signal_name;
use home::runtime_folder::RuntimeFolder;
use process::cgroup::Branch;
use process::tree;

/// A supervisor that has run for so long was well: one that is killed then is followed at once. If that goes on
/// and on it costs a start a second, a few milliseconds.
const WELL: Duration = Duration::from_secs(1);

/// After so many supervisors in a row that were killed before they were ready, the next one takes nothing over:
/// it may be that what kills them.
const TRIES: u32 = 2;

/// The first pause before a supervisor is started again, and the longest: commands wait for 30 seconds.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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
    /// Where a supervisor asks for another version ([`Order`]).
    orders: Memo,
    tie: &'static Tie,
    ended: EndedPipe,
    /// What it was before it became this program, until the next supervisor has heard of it.
    was: Option<Box<Succession>>,
}

/// What a guard guards, beside its supervisor.
#[derive(Debug)]
pub struct Guarded<'a> {
    /// The app's folder, and the lock in it.
    pub app: &'a Path,
    pub lock: &'a OwnedFd,
    /// The private folder, which goes with the app.
    pub runtime: &'a RuntimeFolder,
    pub branch: Option<&'a Branch>,
}

/// What a supervisor has of a guard that starts another one when it is killed: by this that one goes on with
/// its instances.
#[derive(Debug)]
pub struct Lifeline {
    /// What is noted of instances.
    pub(crate) notes: Memo,
    /// What is noted of listeners and channels.
    pub(crate) channels: Memo,
    /// Where it asks for another version, and hears why it cannot have it.
    pub(crate) orders: Memo,
    /// What workers end with: guard and supervisor together.
    pub(crate) tie: &'static Tie,
    pub(crate) ended: EndedPipe,
    left: LeftOpen,
    follows_another: bool,
    /// The supervisor that has made way for this one.
    pub(crate) predecessor: Option<Predecessor>,
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
            orders: Memo::new().context("making room for notes")?,
            // The supervisor must not close it when it ends, nor when it could not begin.
            tie: Box::leak(Box::new(Tie::new().context("making a pipe")?)),
            ended: EndedPipe::new().context("making a pipe")?,
            was: None,
        })
    }

    /// The guard that this process was before it became this program. Its supervisor makes way for another
    /// one.
    ///
    /// # Errors
    /// If something of it is missing, or the kernel refuses.
    pub(crate) fn again(succession: Box<Succession>, mut left: LeftOpen) -> anyhow::Result<Self> {
        become_guard()?;
        let [notes, channels, mut orders] = succession.memos(&mut left)?;
        let ready = succession::take(&mut left, succession.ready)?;
        // It has been obeyed; and it was the supervisor before that was ready.
        orders.write(b"").context("removing an order")?;
        let _ = rustix::io::read(&ready, &mut [0; 8]);
        Ok(Self {
            ready,
            was_ready: true,
            killed: 0,
            failed: 0,
            has_lost_one: true,
            notes,
            channels,
            orders,
            tie: Box::leak(Box::new(succession.tie(&mut left)?)),
            ended: succession.ended(&mut left)?,
            left,
            was: Some(succession),
        })
    }

    /// In the supervisor's half: tells the guard that the supervisor takes commands.
    pub fn is_ready(self) {
        let _ = rustix::io::write(&self.ready, &1u64.to_ne_bytes());
        // The table of descriptors is the guard's too: closed here, it would be closed there.
        std::mem::forget(self.ready);
    }

    /// Whether the next supervisor follows another one: that was killed, or makes way.
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
        guarded: &Guarded<'_>,
        say: impl Fn(&str),
    ) -> anyhow::Result<Option<Lifeline>> {
        let started = Instant::now();
        let left = std::mem::take(&mut self.left).into_all();
        let was = self.was.take();
        match sys::fork_sharing_descriptors(left).context("starting the supervisor")? {
            ForkedSharing::Child(left) => {
                become_subreaper()?;
                let mut left: LeftOpen = left.into_iter().collect();
                let predecessor = was.and_then(|was| was.predecessor(&mut left));
                Ok(Some(Lifeline {
                    notes: self.notes.share(),
                    channels: self.channels.share(),
                    orders: self.orders.share(),
                    tie: self.tie,
                    ended: self.ended.share(),
                    left,
                    follows_another: self.has_lost_one,
                    predecessor,
                }))
            }
            ForkedSharing::Parent(supervisor) => {
                self.outlive(supervisor, guarded, &say);
                self.has_lost_one = true;
                if started.elapsed() >= WELL {
                    self.killed = 0;
                }
                self.pause(guarded, &say);
                Ok(None)
            }
        }
    }

    /// Waits for the supervisor's end. Ends with it, unless it was killed and another one is to follow, which
    /// takes over what it has left.
    fn outlive(&mut self, supervisor: SharingChild, guarded: &Guarded<'_>, say: &impl Fn(&str)) {
        let mut succession = self.succession().with(guarded);
        let orders = &mut self.orders;
        let tell = |ended| self.ended.tell(ended);
        let obey = || obey(orders, &mut succession, guarded);
        let end = watch(supervisor.pid(), tell, obey);
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
        tidy_up(guarded.runtime.path(), guarded.branch);
        sys::exit_now(end.code());
    }

    /// What the version that follows needs to know of it.
    fn succession(&self) -> Succession {
        Succession {
            ready: self.ready.as_raw_fd(),
            notes: self.notes.descriptor(),
            channels: self.channels.descriptor(),
            orders: self.orders.descriptor(),
            tie: self.tie.descriptors(),
            ended: self.ended.descriptors(),
            ..Succession::of_this_version()
        }
    }

    /// Waits until it is time for another supervisor. Ends if it is asked to before.
    fn pause(&mut self, guarded: &Guarded<'_>, say: &impl Fn(&str)) {
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
            tidy_up(guarded.runtime.path(), guarded.branch);
            sys::exit_now(128 + signal.as_raw());
        }
    }
}

/// Becomes another program, if the supervisor has asked for that; if it cannot, says so where it was asked.
fn obey(orders: &mut Memo, succession: &mut Succession, guarded: &Guarded<'_>) {
    let order = orders.read().ok();
    let order = order.and_then(|text| serde_json::from_slice::<Order>(&text).ok());
    let Some(order) = order.filter(|order| order.failed.is_none()) else {
        return;
    };
    let failed = succession.become_next(&order, guarded);
    let answer = Order {
        failed: Some(failed),
        ..order
    };
    // Without memory for it the supervisor goes on after a while.
    let _ = orders.write(&serde_json::to_vec(&answer).unwrap_or_default());
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
}
