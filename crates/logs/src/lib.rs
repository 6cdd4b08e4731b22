//! Workers' logs: what they write goes into files, in whole lines.
//!
//! One thread reads all pipes of an app and writes its files, so that a slow disk holds up the
//! workers that write (their pipes fill), and nobody else; a full one costs lines, which are
//! counted and told of, and never stops the app. While nothing is written nobody wakes.
//!
//! For the supervisor: [`Capture::start`] once for an app, before workers are started;
//! [`Capture::add`] with the two pipes of each process that is started; [`Capture::reopen`] for
//! `reloadLogs`; [`Capture::finish`] when the last process has ended. [`Notice`]s arrive over a
//! channel. [`Files`] names the files.

#![forbid(unsafe_code)]

pub mod access;
mod compressor;
mod date;
mod file;
mod format;
mod gather;
mod old_logs;
mod own;
mod pace;
mod paths;
mod rejection;
mod rotation;
mod thread;
pub mod view;
mod volume;
mod writer;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

pub use date::DateFormat;
pub use format::Format;
pub use own::stamped;
pub use paths::Files;
pub use rejection::tells_of_rejection;
pub use rotation::Rotation;
pub use volume::Volume;
pub(crate) use writer::Writer;

use safe_files::Rights;
use telemetry::ids::{Instance, InstanceId};

/// One of a process's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    Out,
    Err,
}

impl Stream {
    /// pm2's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// What holds for all logs of an app.
#[derive(Clone, Debug)]
pub struct Settings {
    pub app: String,
    /// What lines of ours look like in a log.
    pub format: Format,
    /// `None` if files grow without end.
    pub rotation: Option<Rotation>,
    /// With whose rights files are written.
    pub rights: Rights,
}

/// A process whose output is to be kept.
#[derive(Debug)]
pub struct Source {
    /// The instance's place in its app, counted from 0.
    pub instance: Instance,
    /// The number by which users know it.
    pub id: InstanceId,
    pub out: OwnedFd,
    pub err: OwnedFd,
    pub files: Files,
    /// What its lines look like. A successor that a reload tries has a format of its own.
    pub format: Format,
    /// The beginnings of lines that were read already, of its output and its errors.
    pub begun: [Vec<u8>; 2],
}

/// Something about a log that its user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Lines cannot be written, and are dropped from now on.
    Failing { path: PathBuf, reason: String },
    /// They can again; so much was lost.
    Lost {
        path: PathBuf,
        lines: u64,
        bytes: u64,
    },
    /// So many lines came faster than they could be written, and are lost.
    Overrun { path: PathBuf, lines: u64 },
    /// A file that has grown large could not be set aside, and grows on.
    NotRotated { path: PathBuf, reason: String },
    /// A process has written what Node writes before it crashes on an unhandled rejection.
    Rejection { instance: Instance },
    /// The output of a process cannot be read at all.
    Deaf { instance: Instance, reason: String },
}

/// The thread that keeps the logs of an app.
#[derive(Debug)]
pub struct Capture {
    orders: Sender<thread::Order>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Starts the thread. What is read is counted in `volume`; notices that find `notices` full are dropped.
    ///
    /// # Errors
    /// If the system refuses a thread or descriptors.
    pub fn start(
        settings: Settings,
        volume: Arc<Volume>,
        notices: tokio::sync::mpsc::Sender<Notice>,
    ) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (orders, orders_out) = channel();
        let keeper = thread::Keeper::new(settings, volume, notices, orders_out, Arc::clone(&wake))?;
        let thread = std::thread::Builder::new()
            .name("logs".into())
            .spawn(|| keeper.run())?;
        Ok(Self {
            orders,
            wake,
            thread: Some(thread),
        })
    }

    /// Keeps the output of one more process, until it ends.
    pub fn add(&self, source: Source) {
        self.order(thread::Order::Add(source));
    }

    /// Opens all files again under their names.
    pub fn reopen(&self) {
        self.order(thread::Order::Reopen);
    }

    /// From now on logs are kept so, also those that are open.
    pub fn change(&self, settings: Settings) {
        self.order(thread::Order::Change(Box::new(settings)));
    }

    /// Writes everything that is still to come, but waits no longer than `patience`: a process
    /// that a worker has detached may hold its output open. Blocks.
    pub fn finish(&mut self, patience: Duration) {
        self.order(thread::Order::Finish(patience));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Reads nothing more until [`Capture::resume`]: everything that was read is written when this returns, but
    /// for the beginnings of lines, which it returns, by the descriptor of each pipe.
    pub fn pause(&self) -> Vec<(RawFd, Vec<u8>)> {
        let (answer, begun) = channel();
        self.order(thread::Order::Pause(answer));
        // The thread ends after all others.
        begun.recv().unwrap_or_default()
    }

    /// Goes on after a pause.
    pub fn resume(&self) {
        self.order(thread::Order::Resume);
    }

    fn order(&self, order: thread::Order) {
        // The thread ends after all others; a full counter wakes it as well.
        let _ = self.orders.send(order);
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}
