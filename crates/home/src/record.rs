//! What is kept of an app, whether it runs or not.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use config::App;
use telemetry::events::Exit;
use telemetry::ids::{Instance, InstanceId};

/// An app, its instances, and what shall become of them. While there is a supervisor, it alone
/// writes this; otherwise whoever holds the lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub app: App,
    /// When it was added, in milliseconds since 1970.
    pub created_at: u64,
    /// In the order of their numbers within the app.
    pub instances: Vec<Kept>,
}

impl Record {
    /// The supervisor was killed, and its processes with it: those that are to run are restarted.
    pub fn count_crash(&mut self) {
        for kept in &mut self.instances {
            let ran = kept.rest == Rest::Runs && !kept.waits;
            kept.restarts = kept.restarts.saturating_add(ran.into());
        }
    }
}

/// What is kept of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its number among all of this home.
    pub id: InstanceId,
    /// Its number within the app, from 0.
    #[serde(rename = "number")]
    pub instance: Instance,
    /// Whether it is to run. Where it is and nobody runs it, its supervisor was killed.
    pub rest: Rest,
    /// No process of it runs, and its schedule or a changed file starts the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// How often it was restarted.
    #[serde(default)]
    pub restarts: u32,
    /// How often of these because it ended too soon, in a row.
    #[serde(default)]
    pub unstable: u32,
    /// How its last process ended.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// The bound of memory, in bytes, that its last process was killed at, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_memory: Option<u64>,
    /// Why its last process could not be started, if it could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_started: Option<String>,
    /// When its last process ran that has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
}

/// A run that is over, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    pub started: u64,
    pub ended: u64,
}

impl Kept {
    /// One that was never started.
    pub fn new(id: InstanceId, instance: Instance, rest: Rest) -> Self {
        Self {
            id,
            instance,
            rest,
            waits: false,
            restarts: 0,
            unstable: 0,
            exit: None,
            out_of_memory: None,
            not_started: None,
            last_run: None,
        }
    }

    /// Whether it needs a supervisor.
    pub fn is_supervised(&self) -> bool {
        self.rest == Rest::Runs || self.waits
    }

    /// Sets what becomes of it when nobody touches it.
    pub fn set_rest(&mut self, rest: Rest) {
        self.rest = rest;
        self.waits = false;
    }
}

/// What an instance does when nobody touches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It runs.
    Runs,
    /// It was stopped, or has ended and is not to be restarted.
    Stopped,
    /// It crashed too often.
    Errored,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other versions read and write it, too.
    #[test]
    fn what_is_kept_of_an_instance_has_its_two_numbers() {
        let text = r#"{"id":12,"number":3,"rest":"runs","restarts":0,"unstable":0,"exit":null}"#;
        let kept = Kept::new(InstanceId(12), Instance(3), Rest::Runs);
        assert_eq!(serde_json::to_string(&kept).unwrap(), text);
        assert_eq!(serde_json::from_str::<Kept>(text).unwrap(), kept);
    }
}
