//! The access log: a line for each request that is over.
//!
//! Whoever serves requests puts an [`Entry`] into a [`Queue`], and never waits: the queue is
//! bounded, and what does not fit is counted. One thread formats the entries and writes them, in
//! whole lines, to a file that is kept as the workers' logs are, or to standard output.

mod entry;
mod format;
mod keeper;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc::Sender;

pub use entry::{Entry, Outcome, Text};
pub use format::Format;

use safe_files::Rights;

/// How many entries may wait to be written.
const ENTRIES: usize = 4096;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    StandardOutput,
    File(PathBuf),
}

/// What is written, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    pub app: String,
    pub target: Target,
    pub format: Format,
    pub rotation: Option<crate::Rotation>,
    /// With whose rights the file is written.
    pub rights: Rights,
}

/// The way to the log.
#[derive(Clone, Debug)]
pub struct Queue {
    entries: SyncSender<Option<Box<Entry>>>,
    shared: Arc<Shared>,
}

/// What both sides know.
#[derive(Debug, Default)]
struct Shared {
    /// Entries that found the queue full.
    lost: AtomicU64,
    reopen: AtomicBool,
    finish: AtomicBool,
}

impl Queue {
    /// Puts an entry into the queue, if there is room. Does not wait.
    pub fn put(&self, entry: Entry) {
        if self.entries.try_send(Some(Box::new(entry))).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Makes the thread look at what is asked of it; one that has entries to write looks anyway.
    fn wake(&self) {
        let _ = self.entries.try_send(None);
    }
}

/// The thread that writes the log.
#[derive(Debug)]
pub struct Log {
    queue: Queue,
    done: Receiver<()>,
}

impl Log {
    /// Starts the thread. Notices that find `notices` full are dropped.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(settings: &Settings, notices: Sender<crate::Notice>) -> io::Result<Self> {
        let (entries, inbox) = sync_channel(ENTRIES);
        let (done_in, done) = sync_channel(1);
        let shared = Arc::new(Shared::default());
        let keeper = keeper::Keeper::new(settings, Arc::clone(&shared), notices);
        std::thread::Builder::new()
            .name("access log".into())
            .spawn(move || {
                keeper.run(&inbox);
                // Nobody may wait for it any more.
                let _ = done_in.try_send(());
            })?;
        Ok(Self {
            queue: Queue { entries, shared },
            done,
        })
    }

    /// The way to it.
    pub fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// Opens the file again under its name, before the next line.
    pub fn reopen(&self) {
        self.queue.shared.reopen.store(true, Ordering::Relaxed);
        self.queue.wake();
    }

    /// Writes all that waits, but takes no longer than `patience`: nobody may read what goes to
    /// standard output. Blocks.
    pub fn finish(&self, patience: Duration) {
        self.queue.shared.finish.store(true, Ordering::Relaxed);
        self.queue.wake();
        let _ = self.done.recv_timeout(patience);
    }
}
