//! What is said over the control socket.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{PROTOCOL, Snapshot};
use config::App;
use telemetry::events::Event;
use telemetry::ids::InstanceId;
use telemetry::metrics::AppMetrics;

/// A request with the version of who makes it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) protocol: u32,
    #[serde(flatten)]
    pub(super) request: Request,
}

impl Envelope {
    pub(super) fn new(request: Request) -> Self {
        Self {
            protocol: PROTOCOL,
            request,
        }
    }
}

/// What a supervisor can be asked. `ids` are the numbers of instances; `None` means all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// Tell how things are.
    Status,
    /// Tell what is measured.
    Metrics,
    /// Tell of what happens from now on, and of what is still known to have happened since then, in
    /// milliseconds since 1970. It ends with either side.
    Events { since: u64 },
    /// Answer when all that is being started is up, or is known not to be.
    Await,
    /// Let these run.
    Start { ids: Option<Vec<InstanceId>> },
    /// End these.
    Stop { ids: Option<Vec<InstanceId>> },
    /// End these, and start them again; with a new configuration if there is one.
    Restart {
        ids: Option<Vec<InstanceId>>,
        #[serde(default)]
        app: Option<Box<App>>,
    },
    /// The same, one after the other, and so that the app serves on.
    Reload {
        ids: Option<Vec<InstanceId>>,
        #[serde(default)]
        app: Option<Box<App>>,
    },
    /// End these, and forget them.
    Delete { ids: Option<Vec<InstanceId>> },
    /// Run so many instances; whoever asks has taken the numbers for those that are new.
    Scale {
        instances: u32,
        ids: Vec<InstanceId>,
    },
    /// Forget what has been counted.
    Reset { ids: Option<Vec<InstanceId>> },
    /// Open the log files again under their names.
    ReopenLogs,
    /// Send a signal to these.
    Signal {
        ids: Option<Vec<InstanceId>>,
        signal: i32,
    },
    /// Write a line to the standard input of one.
    Send { id: InstanceId, line: String },
    /// Make way for this program, which is another version of maitred, and goes on with all that there is.
    Update { program: PathBuf },
    /// Write the app's folder again, which was removed.
    Reappear,
    /// End everything, and the supervisor.
    Kill,
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Something has happened; more is to come.
    Progress(Event),
    /// It is done, and this is how things are now.
    Done(Box<Snapshot>),
    /// What is measured.
    Metrics(Box<AppMetrics>),
    /// Something has happened to the app, for one who follows that.
    Happened(Happened),
    /// So many events are missing here, for they were not read fast enough.
    Missed(u64),
    /// It was not done, or came to nothing good.
    Failed(Refusal),
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    /// When, in milliseconds since 1970.
    pub at: u64,
    pub event: Event,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub(crate) reason: String,
    /// Who refuses does not know the request at all.
    #[serde(default)]
    pub(crate) unknown: bool,
    /// It is about to end: what takes its place can be asked.
    #[serde(default)]
    pub(crate) leaving: bool,
    /// Every instance that was to be up has crashed, or passes no health check.
    #[serde(default)]
    pub all_broken: bool,
    /// The maitred that refuses.
    #[serde(default)]
    pub(crate) version: String,
}

impl Refusal {
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            unknown: false,
            leaving: false,
            all_broken: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub fn leaving(reason: impl Into<String>) -> Self {
        Self {
            leaving: true,
            ..Self::new(reason)
        }
    }

    /// Not all of the instances that were to be up are; whether every one of them is broken.
    pub fn of_start(reason: impl Into<String>, all_broken: bool) -> Self {
        Self {
            all_broken,
            ..Self::new(reason)
        }
    }

    pub(super) fn unknown() -> Self {
        Self {
            unknown: true,
            ..Self::new("it does not know this request")
        }
    }
}

/// What must hold of any line on the control socket (see `untrusted`).
#[cfg(feature = "fuzzing")]
pub fn read_any_line(bytes: &[u8]) {
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(bytes) {
        let again = serde_json::to_vec(&envelope).ok();
        let again = again.and_then(|text| serde_json::from_slice::<Envelope>(&text).ok());
        assert_eq!(again.map(|it| it.request), Some(envelope.request));
    }
    if let Ok(reply) = serde_json::from_slice::<Reply>(bytes) {
        let again = serde_json::to_vec(&reply).ok();
        let again = again.and_then(|text| serde_json::from_slice::<Reply>(&text).ok());
        assert_eq!(again, Some(reply));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_flat_object() {
        let envelope = Envelope::new(Request::Stop {
            ids: Some(vec![InstanceId(1)]),
        });
        let text = serde_json::to_string(&envelope).unwrap();
        assert_eq!(text, r#"{"protocol":1,"do":"stop","ids":[1]}"#);
        let back: Envelope = serde_json::from_str(&text).unwrap();
        assert_eq!(back.request, envelope.request);
    }

    #[test]
    fn what_a_newer_one_adds_is_skipped() {
        let text = r#"{"protocol":9,"do":"restart","ids":null,"gently":true}"#;
        let newer: Envelope = serde_json::from_str(text).unwrap();
        let known = Request::Restart {
            ids: None,
            app: None,
        };
        assert_eq!(newer.request, known);
        assert!(serde_json::from_str::<Envelope>(r#"{"do":"fly"}"#).is_err());
    }
}
