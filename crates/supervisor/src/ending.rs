//! The end of an app: what calls for it, how it is gone about, and what is kept.

use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use sys::Signalled;
use tokio::sync::mpsc;

use super::{Supervisor, instance};
use telemetry::events::Event;

/// A terminal sends its signals to all of us, and the guard may pass one on that was sent to all:
/// only one that comes later than this is a second one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// The app is being ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) since: Duration,
    pub(super) kill_at: Duration,
    /// What ended it, if it was a signal.
    pub(super) signal: Option<Signalled>,
}

/// A signal ends the app at the end of its `drain_delay`; until then newcomers are served.
#[derive(Debug)]
pub(super) struct Delay {
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) signal: Signalled,
}

/// What becomes of the app's folder when the supervisor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It tells what has become of the instances.
    Kept,
    /// It tells that they are to run, and do not.
    AsIfCrashed,
    /// It goes.
    Removed,
}

impl Supervisor {
    /// The exit code, if everything has ended.
    pub(super) fn outcome(&self) -> Option<u8> {
        if !self.instances.are_at_rest() {
            return None;
        }
        if self.ending.is_some() {
            if !self.children().is_empty() {
                return None;
            }
            let highest = self.instances.highest_code();
            return Some(if self.app.pass_through { highest } else { 0 });
        }
        let kept_ready = self.renewal.is_waiting() && self.afterwards != Afterwards::Removed;
        if self.strays.run() || kept_ready && !self.instances.are_stopped() {
            return None;
        }
        Some(self.instances.own_code())
    }

    /// Does what a signal means for the app.
    pub(super) fn signalled(&mut self, arrived: Signalled) {
        match arrived.signal {
            Signal::CHILD => self.reap(),
            Signal::INT | Signal::TERM | Signal::QUIT | Signal::HUP => {
                self.asked_to_end(arrived);
            }
            // In its own group a worker does not hear what the terminal sends.
            Signal::USR1 | Signal::USR2 | Signal::WINCH
                if !(arrived.by_kernel && self.app.pass_through) =>
            {
                self.instances.signal(arrived.signal);
            }
            _ => {}
        }
    }

    fn asked_to_end(&mut self, arrived: Signalled) {
        if !self.is_delayed(arrived) {
            self.end_by(arrived);
        }
    }

    /// Whether the end of the app that the signal asks for is put off. Balancers need time to hear of
    /// it; whoever types Ctrl-C does not want to wait.
    fn is_delayed(&mut self, arrived: Signalled) -> bool {
        let (now, delay) = (self.now(), self.app.drain_delay);
        if let Some(delay) = &self.delay {
            return now - delay.since <= SAME_SIGNAL;
        }
        if arrived.signal != Signal::TERM || delay.is_zero() || self.ending.is_some() {
            return false;
        }
        self.delay = Some(Delay {
            since: now,
            until: now + delay,
            signal: arrived,
        });
        self.event(Event::NotReady {
            signal: signal_name(arrived.signal).to_owned(),
            delay: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        });
        true
    }

    /// Ends the app for a signal.
    pub(super) fn end_by(&mut self, signal: Signalled) {
        self.afterwards = Afterwards::AsIfCrashed;
        self.end(signal_name(signal.signal), Some(signal));
    }

    /// Begins to end the app. A second signal does not wait for what is in progress, and the next one
    /// for no worker any more.
    pub(super) fn end(&mut self, reason: &str, signal: Option<Signalled>) {
        let now = self.now();
        self.delay = None;
        if let Some(ending) = &mut self.ending {
            if now - ending.since <= SAME_SIGNAL {
                return;
            }
            ending.since = now;
            ending.kill_at = now;
            if self.instances.drain() {
                ending.kill_at += self.app.kill_timeout;
                for instance in self.instances.numbers() {
                    self.step(instance, instance::Event::Cut);
                }
            }
            return;
        }
        // What is kept is how things are now.
        self.write_record();
        self.ending = Some(Ending {
            since: now,
            kill_at: now + self.time_to_end(),
            signal,
        });
        self.event(Event::Stopping {
            reason: reason.to_owned(),
        });
        self.give_up_operations();
        if let Some(dispatcher) = &self.dispatch.dispatcher {
            dispatcher.close();
        }
        for instance in self.instances.numbers() {
            self.step(instance, instance::Event::Stop);
        }
    }

    /// How long all of it may take to end.
    fn time_to_end(&self) -> Duration {
        let drains = self.dispatch.shares() && !self.app.pass_through;
        let drain = if drains {
            self.app.drain_timeout
        } else {
            Duration::ZERO
        };
        drain + self.app.kill_timeout
    }

    /// The app has ended: notes it, and answers those who waited for that.
    pub(super) fn say_goodbye(&mut self) {
        match self.afterwards {
            Afterwards::Kept => self.write_record(),
            Afterwards::AsIfCrashed => {}
            Afterwards::Removed => {
                if let Err(error) = self.folders.remove() {
                    for operation in &mut self.operations {
                        operation.fault(format!("{error:#}"));
                    }
                }
            }
        }
        let snapshot = self.snapshot();
        for operation in std::mem::take(&mut self.operations) {
            operation.finish(&snapshot);
        }
    }
}

/// Signals arrive in a thread of their own, which passes them on.
pub(super) fn listen_for_signals() -> anyhow::Result<mpsc::Receiver<Signalled>> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while let Ok(signal) = sys::next_signal() {
                if sender.blocking_send(signal).is_err() {
                    return;
                }
            }
        })
        .context("starting the signals' thread")?;
    Ok(receiver)
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        Signal::TERM => "SIGTERM",
        Signal::QUIT => "SIGQUIT",
        Signal::HUP => "SIGHUP",
        _ => "a signal",
    }
}
