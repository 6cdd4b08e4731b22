//! What a supervisor notes of an app's instances, for one that follows it.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::instance::RunId;
use crate::slot::Slot;
use home::{Kept, now_ms};

/// What is noted of an app's instances.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Notes {
    /// The socket at which workers ask.
    pub(crate) door: Option<i32>,
    pub(super) instances: Vec<InstanceNote>,
    /// By the pipe's descriptor the beginning of a line that was read already.
    #[serde(default)]
    pub(super) begun: Vec<(i32, Vec<u8>)>,
    /// Supervisors that have made way, and finish what they have in progress.
    #[serde(default)]
    pub(super) earlier: Vec<i32>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct InstanceNote {
    pub(super) kept: Kept,
    /// It goes when it is at rest.
    pub(super) removed: bool,
    pub(super) last: RunId,
    /// The process that serves, or starts without one before it.
    pub(super) current: Option<RunId>,
    pub(super) processes: Vec<ProcessNote>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ProcessNote {
    #[serde(rename = "generation")]
    pub(super) run: RunId,
    pub(super) pid: i32,
    pub(super) started_at: u64,
    pub(super) up: bool,
    pub(super) stdin: Option<i32>,
    pub(super) output: Option<(i32, i32)>,
    pub(super) channel: Option<i32>,
    pub(super) group: bool,
}

impl Notes {
    /// Those instances as they are kept.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        let instances = self.instances.iter();
        instances.map(|instance| instance.kept.clone()).collect()
    }

    /// When the first of their processes was started, in milliseconds since 1970.
    pub(crate) fn since(&self) -> Option<u64> {
        let processes = self.instances.iter().flat_map(|it| &it.processes);
        processes.map(|process| process.started_at).min()
    }
}

/// The moment that lies so far back as the first of them was started.
pub(crate) fn beginning(notes: &Notes) -> Instant {
    let now = Instant::now();
    let age = notes.since().map_or(0, |at| now_ms().saturating_sub(at));
    now.checked_sub(Duration::from_millis(age)).unwrap_or(now)
}

pub(super) fn note_of(slot: &Slot, triggers: bool) -> InstanceNote {
    let current = slot.lifecycle.current();
    let is_up = |meant| {
        let runs = [current, slot.lifecycle.newest()];
        let mut runs = runs.into_iter().flatten();
        runs.any(|run| run.id == meant && run.up)
    };
    let processes = slot.processes.iter().map(|process| ProcessNote {
        run: process.run,
        pid: process.pid,
        started_at: process.started_at,
        up: is_up(process.run),
        stdin: process.stdin.as_ref().map(AsRawFd::as_raw_fd),
        output: process.output,
        channel: process.channel.as_ref().map(AsRawFd::as_raw_fd),
        group: process.group.is_some(),
    });
    InstanceNote {
        kept: slot.kept(triggers),
        removed: slot.removed,
        last: slot.lifecycle.last(),
        current: current.map(|run| run.id),
        processes: processes.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::ids::Instance;

    /// The next supervisor may be of another version.
    #[test]
    fn what_is_noted_of_an_instance_names_its_runs() {
        let text = r#"{"kept":{"id":12,"number":3,"rest":"runs","restarts":0,"unstable":0,"exit":null},"removed":false,"last":8,"current":7,"processes":[{"generation":7,"pid":99,"started_at":5,"up":true,"stdin":null,"output":[4,6],"channel":null,"group":false}]}"#;
        let note: InstanceNote = serde_json::from_str(text).unwrap();
        assert_eq!(note.kept.instance, Instance(3));
        assert_eq!(note.processes[0].run, RunId(7));
        assert_eq!(serde_json::to_string(&note).unwrap(), text);
    }
}
