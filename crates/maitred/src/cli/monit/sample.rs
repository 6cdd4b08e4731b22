//! How all apps are, looked at each second by a thread of its own: one that hangs holds up no key.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::super::usage::{Meter, Usage};
use crate::apps::{self, Known};
use home::control::{InstanceView, Snapshot};
use home::{Home, now_ms};

/// How often apps are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// How apps are at one moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The time since the first look.
    pub(super) at: Duration,
    /// In milliseconds since 1970.
    pub(super) now: u64,
    pub(super) apps: Vec<AppSample>,
    /// What could not be read.
    pub(super) faults: Vec<String>,
}

/// One app, as its supervisor has described it.
#[derive(Clone, Debug)]
pub(super) struct AppSample {
    pub(super) known: Known,
    pub(super) instances: Vec<(InstanceView, Usage)>,
    /// Connections, or requests, that wait for a worker.
    pub(super) waiting: u64,
}

/// The thread that looks.
pub(super) struct Sampler {
    samples: Receiver<Sample>,
    wake: SyncSender<()>,
}

impl Sampler {
    pub(super) fn start(home: Home) -> io::Result<Self> {
        // One may wait to be shown, and the next is made beside it.
        let (sender, samples) = sync_channel(1);
        let (wake, woken) = sync_channel(1);
        let look = move || look(&home, &sender, &woken);
        let thread = std::thread::Builder::new().name("samples".into());
        thread.spawn(look)?;
        Ok(Self { samples, wake })
    }

    /// The next sample, if there is one.
    pub(super) fn next(&self) -> Option<Sample> {
        self.samples.try_recv().ok()
    }

    /// Has it look at once: something has changed.
    pub(super) fn hurry(&self) {
        // It may have been told already.
        if let Err(TrySendError::Full(())) = self.wake.try_send(()) {}
    }
}

fn look(home: &Home, sender: &SyncSender<Sample>, woken: &Receiver<()>) {
    let began = Instant::now();
    let mut meter = Meter::default();
    loop {
        let mut faults = Vec::new();
        let known = apps::all_telling(home, &mut |fault| faults.push(fault));
        let known = known.unwrap_or_else(|error| {
            faults.push(format!("{error:#}"));
            Vec::new()
        });
        let snapshots = apps::snapshots(&known);
        let usages = meter.look(snapshots.iter().flat_map(|app| &app.instances));
        let of = |view: &InstanceView| view.pid.and_then(|pid| usages.get(&pid).copied());
        let apps = known.into_iter().zip(snapshots);
        let sample = Sample {
            at: began.elapsed(),
            now: now_ms(),
            apps: apps
                .map(|(known, snapshot)| AppSample {
                    waiting: waiting(&snapshot),
                    instances: snapshot
                        .instances
                        .into_iter()
                        .map(|view| {
                            let usage = of(&view).unwrap_or_default();
                            (view, usage)
                        })
                        .collect(),
                    known,
                })
                .collect(),
            faults,
        };
        if sender.send(sample).is_err() {
            return;
        }
        let _ = woken.recv_timeout(EVERY);
    }
}

fn waiting(snapshot: &Snapshot) -> u64 {
    snapshot.listeners.iter().map(|it| it.waiting).sum()
}
