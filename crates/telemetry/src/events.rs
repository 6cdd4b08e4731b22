//! What happens to an app, as typed events: shown to people as sentences, and written for
//! programs as JSON lines.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::figures::{Foreign, ListenerFigures};
use crate::ids::Instance;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// An instance's process was started.
    Started { instance: Instance, pid: i32 },
    /// An instance could not be started.
    StartFailed { instance: Instance, reason: String },
    /// A process listens; `members` is how many do so at this address now.
    Listening {
        instance: Instance,
        pid: i32,
        address: String,
        members: usize,
    },
    /// A process listens no more.
    Left {
        instance: Instance,
        pid: i32,
        address: String,
        members: usize,
        /// Clients whose connections it had accepted, and which were open to its end or close to
        /// it: some of them where there are many.
        #[serde(default)]
        cut: Vec<String>,
    },
    /// An instance's process has ended.
    Exited {
        instance: Instance,
        pid: i32,
        code: Option<i32>,
        signal: Option<i32>,
        /// The bound of memory, in bytes, that the kernel has killed it at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        out_of_memory: Option<u64>,
        /// How long it ran, in milliseconds.
        uptime: u64,
        #[serde(flatten)]
        next: Next,
    },
    /// The library is not in this process: its connections are not distributed.
    NotPreloaded {
        instance: Instance,
        pid: i32,
        reason: String,
    },
    /// A program whose sockets are not shared is not run, for what was asked for needs that.
    Unfit {
        instance: Instance,
        wanted: String,
        reason: String,
    },
    /// A process is idle, and listens nowhere.
    Silent { instance: Instance, pid: i32 },
    /// Somebody else has the address that a worker wants.
    InUse {
        instance: Instance,
        address: String,
        by: Option<String>,
        /// The app of the same home that this is a process of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of_app: Option<String>,
    },
    /// Another version of maitred goes on with the app, its instances and its listeners.
    Updated { from: String, to: String },
    /// It cannot, and this one goes on.
    NotUpdated { reason: String },
    /// A supervisor goes on with so many processes of one that was killed.
    TookOver { processes: usize },
    /// A worker wants an address whose port a socket has that was passed to maitred, at another one.
    PassedElsewhere {
        instance: Instance,
        address: String,
        passed: String,
    },
    /// An instance shares the UDP socket of another one.
    DatagramsShared { instance: Instance, address: String },
    /// An instance cannot share the UDP socket of another one, for the kernel does not give it.
    DatagramsNotShared { instance: Instance, address: String },
    /// A worker's user may not listen on this port, and the config does not allow it.
    PrivilegedPort {
        instance: Instance,
        address: String,
        port: u16,
    },
    /// A process that is not part of the app asked for its listeners, and was refused.
    Stranger { pid: i32, uid: u32 },
    /// A process asked for more listeners than it may have, and was refused.
    TooMuch { pid: i32 },
    /// The kernel does not tell whether a worker's loop is free.
    Blind { pid: i32 },
    /// The kernel does not tell which connections are open.
    Uncounted,
    /// No more connections are accepted for the moment, for want of descriptors or for this reason.
    OutOfDescriptors {
        limit: u64,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// Few files may be open: few clients can be served at a time.
    FewDescriptors {
        limit: u64,
        needed: u64,
        instances: usize,
    },
    /// As many clients are connected as may be; others have to wait.
    Crowded { limit: usize },
    /// Connections from this address are closed: it has its full share of `limit` connections.
    TurnedAway { address: IpAddr, limit: usize },
    /// Connections were given up after they had waited too long; `total` so far.
    Refused { address: String, total: u64 },
    /// Clients wait and no worker is up: restarts that are put off come earlier.
    Hurrying,
    /// Instances are restarted, and nobody has asked for that.
    Renewing {
        #[serde(flatten)]
        trigger: Trigger,
    },
    /// A command that replaces, restarts, adds or removes instances is over, or what does so by itself.
    Done {
        /// `reload`, `restart` or `scale`.
        command: String,
        /// How many it has replaced or restarted; of `scale`, how many there are.
        instances: usize,
        /// In milliseconds.
        lasted: u64,
        /// What went wrong, a sentence for each instance.
        faults: Vec<String>,
    },
    /// The last run of a job goes on at a time of its calendar; the next one `waits` for its end, or is
    /// left out.
    StillRuns { instance: Instance, waits: bool },
    /// What should restart instances by itself does not.
    NoTrigger { trigger: String, reason: String },
    /// Lines cannot be written to a log, and are dropped from now on.
    LogFailing { path: String, reason: String },
    /// They can again; so much was lost.
    LogLost {
        path: String,
        lines: u64,
        bytes: u64,
    },
    /// So many lines came faster than they could be written, and are lost.
    LogOverrun { path: String, lines: u64 },
    /// A log that has grown large could not be set aside, and grows on.
    LogNotRotated { path: String, reason: String },
    /// An instance's PID could not be written, or its file not be removed.
    PidFileFailing { path: String, reason: String },
    /// A Node process has written that it crashes on an unhandled promise rejection.
    Rejection { instance: Instance },
    /// The output of a process cannot be read.
    Deaf { instance: Instance, reason: String },
    /// The metrics endpoint cannot be had at its address, and is tried again.
    MetricsFailing { address: String, reason: String },
    /// What has changed could not be written to the home folder.
    NotKept { reason: String },
    /// What was counted so far.
    Figures { listeners: Vec<ListenerFigures> },
    /// Something else than HTTP is spoken at a listener whose requests are placed.
    Foreign { address: String, what: Foreign },
    /// A certificate has changed, and cannot be used as it is: the one before stays in use.
    Certificate { reason: String },
    /// A request could not be served as it should.
    RequestFailed {
        address: String,
        /// Its number, in hexadecimal, as its client was told.
        id: String,
        /// The instance that had it; none if none had.
        instance: Option<Instance>,
        status: u16,
        reason: String,
        /// The response had begun, so that its end alone told the client.
        cut: bool,
        /// How many failures before it were not reported.
        unsaid: u64,
    },
    /// How many more have failed, and were not reported one by one.
    RequestsFailed { count: u64 },
    /// A worker's event loop has stood still for so many milliseconds, and still does.
    Blocked {
        instance: Instance,
        pid: i32,
        lasts: u64,
    },
    /// It goes on, after so many milliseconds.
    Unblocked {
        instance: Instance,
        pid: i32,
        lasted: u64,
    },
    /// A process is unhealthy by its check, for this reason in words.
    HealthFailed {
        instance: Instance,
        pid: i32,
        reason: String,
    },
    /// It is healthy again.
    HealthPassed { instance: Instance, pid: i32 },
    /// A draining process has requests in progress: it gets the stop signal in so many milliseconds at
    /// the latest.
    Draining {
        instance: Instance,
        pid: i32,
        most: u64,
        /// Connections of which it is not known whether a request is in progress are waited for, too.
        opaque: bool,
    },
    /// A signal ends the app in so many milliseconds; until then it is not ready, and serves newcomers.
    NotReady { signal: String, delay: u64 },
    /// The app is being stopped.
    Stopping { reason: String },
    /// The app has stopped; the supervisor ends with this exit code.
    Stopped { code: u8 },
}

/// What restarts instances by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "trigger", rename_all = "snake_case")]
pub enum Trigger {
    /// The calendar.
    Schedule,
    /// A file that has changed, and so many others.
    Change { path: String, others: u64 },
    /// More memory, in bytes, than the limit.
    Memory {
        instance: Instance,
        used: u64,
        limit: u64,
    },
    /// An event loop that has stood still for so many milliseconds.
    Hang { instance: Instance, lasts: u64 },
    /// So many health checks in a row that failed, the last one for this reason in words.
    Health {
        instance: Instance,
        failures: u32,
        reason: String,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl Exit {
    /// The exit code that a shell would report.
    pub fn exit_code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        };
        u8::try_from(code).unwrap_or(u8::MAX)
    }
}

/// What follows an exit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "next", rename_all = "snake_case")]
pub enum Next {
    /// Another process in its place.
    Restart {
        /// In so many milliseconds.
        delay: u64,
        /// The how-manieth unstable restart in a row this is.
        attempt: u32,
        /// How many there may be.
        max: u32,
    },
    /// Another attempt in so many milliseconds: there was no room for a process.
    Retry { delay: u64 },
    /// Nothing: it was unstable too often.
    Errored {
        /// Unstable restarts that were tried.
        attempts: u32,
    },
    /// Nothing: it was to end.
    Stopped,
    /// Nothing: its successor, which was on its way, takes its place.
    Replaced,
    /// Nothing: it was to be a successor, and the one before it goes on.
    Kept,
    /// Nothing: it is not to be restarted.
    Ended,
}

/// A file that gets every event as a line of JSON.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    /// The app that they are of, where others write to the same file.
    app: Option<String>,
}

/// An event, and the app that it is of.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
}

impl EventFile {
    /// `app` is named in each line, where several write to the same file.
    pub fn new(file: File, app: Option<String>) -> Self {
        Self { file, app }
    }

    /// Appends the event. A full disk must not stop the app.
    pub fn write(&mut self, event: &Event) {
        let line = Line {
            app: self.app.as_deref(),
            event,
        };
        if let Ok(mut line) = serde_json::to_vec(&line) {
            line.push(b'\n');
            let _ = self.file.write_all(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object() {
        let event = Event::Exited {
            instance: Instance(2),
            pid: 7,
            code: Some(1),
            signal: None,
            out_of_memory: None,
            uptime: 300,
            next: Next::Restart {
                delay: 1500,
                attempt: 3,
                max: 16,
            },
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"event":"exited","instance":2,"pid":7,"code":1,"signal":null,"uptime":300,"next":"restart","delay":1500,"attempt":3,"max":16}"#
        );
    }
}
