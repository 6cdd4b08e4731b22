//! Whether an app is as far as others need it.

use std::time::{Duration, Instant};

use super::Known;
use super::act::patience;
use super::changes::Changes;
use config::signal_name;
use home::Exit;
use home::control::{Connection, Fault, InstanceView, Request, Snapshot, State};

impl Known {
    /// Waits until the app is up, if it is being started. One that has done what it had to do is there,
    /// too.
    ///
    /// # Errors
    /// If it does not run, or does not come up; says so.
    pub(crate) fn wait_until_there(&self) -> Result<(), String> {
        let asked = || -> Result<Snapshot, Fault> {
            let socket = self.folder.connect().map_err(|_| Fault::Gone)?;
            Connection::ask(socket, Request::Await)?
                .wait_for(patience(&self.record))?
                .finish(|_| {})
        };
        match { asked }() {
            Ok(snapshot) if snapshot.is_to_run() => self.wait_until_healthy(),
            Ok(_) | Err(Fault::Gone | Fault::Leaving(_)) => {
                let done = self.record.app.can_complete() && self.wait_until_completed().is_ok();
                done.then_some(()).ok_or_else(|| "does not run".to_owned())
            }
            Err(_) => Err("is not up".to_owned()),
        }
    }

    /// Waits until an instance is healthy, if that is checked: clients are served as soon as one is.
    ///
    /// # Errors
    /// If none is after `listen_timeout`; says why.
    fn wait_until_healthy(&self) -> Result<(), String> {
        if self.record.app.health.is_none() {
            return Ok(());
        }
        let end = Instant::now() + self.record.app.listen_timeout;
        let mut changes = Changes::of(self);
        loop {
            let now = self.snapshot();
            let online = now.instances.iter().filter(|it| it.state == State::Online);
            let mut reason = None;
            for instance in online {
                match &instance.unhealthy {
                    Some(unhealthy) => reason = Some(unhealthy.clone()),
                    None => return Ok(()),
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(match reason {
                    Some(reason) => format!("is unhealthy ({reason})"),
                    None => "is not up".to_owned(),
                });
            }
            changes.wait(left);
        }
    }

    /// Waits until no process of it runs, and none is about to.
    ///
    /// # Errors
    /// If they have not all ended with exit code 0; says how instead.
    pub(crate) fn wait_until_completed(&self) -> Result<(), String> {
        let mut changes = Changes::of(self);
        loop {
            if !self.folder.exists() {
                return Err("was deleted".to_owned());
            }
            let now = self.snapshot();
            if now.instances.iter().all(is_at_rest) {
                return now.instances.iter().try_for_each(ended_well);
            }
            changes.wait(Duration::MAX);
        }
    }
}

fn is_at_rest(instance: &InstanceView) -> bool {
    match instance.state {
        State::Stopped | State::Errored | State::Crashed | State::Unknown => true,
        State::Online | State::Launching | State::Waiting | State::Stopping => false,
    }
}

fn ended_well(instance: &InstanceView) -> Result<(), String> {
    match (&instance.not_started, instance.exit) {
        (Some(reason), _) => Err(format!("could not be started ({reason})")),
        _ if instance.state == State::Crashed => Err("has lost its supervisor".to_owned()),
        _ if instance.state == State::Unknown => {
            Err("has a supervisor that does not answer".to_owned())
        }
        (None, Some(Exit::Code(0))) => Ok(()),
        (None, Some(Exit::Code(code))) => Err(format!("has exited with code {code}")),
        (None, Some(Exit::Signal(signal))) => Err(format!("was killed by {}", signal_name(signal))),
        (None, None) => Err("has not run".to_owned()),
    }
}
