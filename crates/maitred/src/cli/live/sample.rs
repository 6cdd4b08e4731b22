//! How all apps are, looked at each second by a thread of its own: one that hangs holds up no key.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::super::usage::{Meter, Usage};
use crate::apps::{self, Known};
use home::control::{InstanceView, ListenerView};
use home::{Home, now_ms};

/// How often apps are looked at.
pub(in crate::cli) const EVERY: Duration = Duration::from_secs(1);

/// How apps are at one moment.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Sample {
    /// The time since the first look.
    pub(in crate::cli) at: Duration,
    /// In milliseconds since 1970.
    pub(in crate::cli) now: u64,
    pub(in crate::cli) apps: Vec<AppSample>,
    /// What could not be read.
    pub(in crate::cli) faults: Vec<String>,
}

/// One app, as its supervisor has described it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct AppSample {
    pub(in crate::cli) known: Known,
    pub(in crate::cli) instances: Vec<(InstanceView, Usage)>,
    pub(in crate::cli) listeners: Vec<ListenerView>,
    /// The version of its supervisor; empty if there is none.
    pub(in crate::cli) version: String,
    /// A process of it runs, or is about to.
    pub(in crate::cli) is_to_run: bool,
}

impl AppSample {
    /// Connections, or requests, that wait for a worker.
    pub(in crate::cli) fn waiting(&self) -> u64 {
        self.listeners.iter().map(|it| it.waiting).sum()
    }
}

/// The thread that looks.
pub(in crate::cli) struct Sampler {
    samples: Receiver<Sample>,
    wake: SyncSender<()>,
}

impl Sampler {
    pub(in crate::cli) fn start(home: Home) -> io::Result<Self> {
        // One may wait to be shown, and the next is made beside it.
        let (sender, samples) = sync_channel(1);
        let (wake, woken) = sync_channel(1);
        let look = move || look(home, &sender, &woken);
        let thread = std::thread::Builder::new().name("samples".into());
        thread.spawn(look)?;
        Ok(Self { samples, wake })
    }

    /// The next sample, if there is one.
    pub(in crate::cli) fn next(&self) -> Option<Sample> {
        self.samples.try_recv().ok()
    }

    /// Has it look at once: something has changed.
    pub(in crate::cli) fn hurry(&self) {
        // It may have been told already.
        if let Err(TrySendError::Full(())) = self.wake.try_send(()) {}
    }
}

/// Looks at apps again and again.
pub(in crate::cli) struct Looker {
    home: Home,
    began: Instant,
    meter: Meter,
}

impl Looker {
    pub(in crate::cli) fn new(home: Home) -> Self {
        Self {
            home,
            began: Instant::now(),
            meter: Meter::default(),
        }
    }

    /// How all apps are now.
    pub(in crate::cli) fn look(&mut self) -> Sample {
        let mut faults = Vec::new();
        let known = apps::all_telling(&self.home, &mut |fault| faults.push(fault));
        let known = known.unwrap_or_else(|error| {
            faults.push(format!("{error:#}"));
            Vec::new()
        });
        let snapshots = apps::snapshots(&known);
        let usages = self
            .meter
            .look(snapshots.iter().flat_map(|app| &app.instances));
        let with_usage = |view: InstanceView| {
            let usage = view.pid.and_then(|pid| usages.get(&pid).copied());
            (view, usage.unwrap_or_default())
        };
        let apps = known.into_iter().zip(snapshots);
        let apps = apps.map(|(known, snapshot)| AppSample {
            is_to_run: snapshot.is_to_run(),
            instances: snapshot.instances.into_iter().map(with_usage).collect(),
            listeners: snapshot.listeners,
            version: snapshot.version,
            known,
        });
        Sample {
            at: self.began.elapsed(),
            now: now_ms(),
            apps: apps.collect(),
            faults,
        }
    }
}

fn look(home: Home, sender: &SyncSender<Sample>, woken: &Receiver<()>) {
    let mut looker = Looker::new(home);
    while sender.send(looker.look()).is_ok() {
        let _ = woken.recv_timeout(EVERY);
    }
}
