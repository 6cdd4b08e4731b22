//! The end of an app: what calls for it, how it is gone about, and what is kept.

use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use sys::Signalled;
use tokio::sync::mpsc;

use super::shutdown::{Afterwards, PutOff};
use super::{Supervisor, instance};
use telemetry::events::Event;

impl Supervisor {
    /// The exit code, if everything has ended.
    pub(super) fn outcome(&self) -> Option<u8> {
        if !self.instances.are_at_rest() {
            return None;
        }
        if self.shutdown.has_begun() {
            if !self.takeover.children().is_empty() {
                return None;
            }
            let highest = self.instances.highest_code();
            return Some(if self.app.pass_through { highest } else { 0 });
        }
        let kept_ready = self.renewal.is_waiting() && !self.shutdown.removes();
        if self.strays.any_runs() || kept_ready && !self.instances.are_stopped() {
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
        let (now, delay) = (self.now(), self.app.drain_delay);
        match self.shutdown.put_off(arrived, delay, now) {
            PutOff::No => self.end_by(arrived),
            PutOff::FromNowOn => self.event(Event::NotReady {
                signal: signal_name(arrived.signal).to_owned(),
                delay: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            }),
            PutOff::Already => {}
        }
    }

    /// Ends the app for a signal.
    pub(super) fn end_by(&mut self, signal: Signalled) {
        self.shutdown.afterwards = Afterwards::AsIfCrashed;
        self.end(signal_name(signal.signal), Some(signal));
    }

    /// Begins to end the app. A second signal does not wait for what is in progress, and the next one
    /// for no worker any more.
    pub(super) fn end(&mut self, reason: &str, signal: Option<Signalled>) {
        let now = self.now();
        self.shutdown.end_delay();
        if self.shutdown.has_begun() {
            let drain = self.instances.any_drains();
            let time = if drain {
                self.app.kill_timeout
            } else {
                Duration::ZERO
            };
            if self.shutdown.hurry(time, now) && drain {
                for instance in self.instances.numbers() {
                    self.step(instance, instance::Event::Cut);
                }
            }
            return;
        }
        // What is kept is how things are now.
        self.write_record();
        let time = self.time_to_end();
        self.shutdown.begin(signal, time, now);
        self.event(Event::Stopping {
            reason: reason.to_owned(),
        });
        self.operations.give_up(&self.app);
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
        match self.shutdown.afterwards {
            Afterwards::Kept => self.write_record(),
            Afterwards::AsIfCrashed => {}
            Afterwards::Removed => {
                if let Err(error) = self.folders.remove() {
                    self.operations.fault(&format!("{error:#}"));
                }
            }
        }
        let snapshot = self.snapshot();
        self.operations.finish(&snapshot);
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
