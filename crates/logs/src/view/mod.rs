//! Looking at logs: the last lines of several files, then what is appended to them.
//!
//! For the commands: a [`Catalog`] says which files there are; [`show`] does the rest, and
//! [`flush`] empties them. A file that appears while logs are followed (an instance more) is
//! found by asking the catalog again; nothing polls.

mod flush;
mod follow;
mod last_lines;
mod past;
mod reader;
mod screen;
mod show;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::Stream;
pub use flush::flush;
use reader::Reader;
use safe_files::Rights;
pub use show::{Form, View};
use telemetry::ids::InstanceId;

/// A log that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub app: String,
    pub voice: Voice,
    pub path: PathBuf,
    /// With whose rights it is written.
    pub rights: Rights,
}

/// Who speaks in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// A worker; `id` is the number by which users know it.
    Worker { id: InstanceId, stream: Stream },
    /// The app's supervisor, of what it does and of what went wrong.
    Supervisor,
}

impl Entry {
    /// What stands before its lines.
    fn label(&self) -> String {
        let app = show::printable(&self.app);
        match self.voice {
            Voice::Worker { id, .. } => format!("{id}|{app}"),
            Voice::Supervisor => format!("{app}|maitred"),
        }
    }
}

/// Knows which logs there are.
pub trait Catalog {
    /// The logs that the user asked for, as of now.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn entries(&mut self) -> anyhow::Result<Vec<Entry>>;
}

/// What is to be shown of them.
#[derive(Clone, Debug)]
pub struct Request {
    /// So many lines of each log that were there before, old ones of it too.
    pub lines: usize,
    /// One stream of the workers alone.
    pub only: Option<Stream>,
    /// Whether to go on with what is appended.
    pub follow: bool,
    /// They are shown on our standard output: who follows them is done when nobody reads it any
    /// more, also if nothing is written then.
    pub on_stdout: bool,
    /// Following ends, with what was written by then, once this can be read or is closed on the
    /// other side.
    pub until: Option<Arc<OwnedFd>>,
    /// What the user asked for, for the title.
    pub target: String,
    pub view: View,
}

impl Request {
    /// Whether a log is to be shown. Raw lines are for programs that expect those of the app.
    fn wants(&self, entry: &Entry) -> bool {
        match entry.voice {
            Voice::Worker { stream, .. } => self.only.is_none_or(|only| only == stream),
            Voice::Supervisor => self.only.is_none() && self.view.form != Form::Raw,
        }
    }
}

/// Shows logs; returns when everything is shown, or, if they are followed, when `out` is closed.
///
/// # Errors
/// If the kernel refuses to watch them, or a log cannot be read.
pub fn show(
    catalog: &mut dyn Catalog,
    request: &Request,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<()> {
    match Reader::new(request, out, err)?.run(catalog) {
        // Whoever listened has heard enough.
        Err(error) if is_closed(&error) => Ok(()),
        result => result,
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
