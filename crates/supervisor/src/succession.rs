//! How a guard becomes another version of maitred, with all that it and its supervisor hold.
//!
//! The supervisor asks for it by an [`Order`], and waits. The guard executes the program that it names, which
//! keeps every descriptor, the process's number, its signals that wait and its children. That one is told by
//! numbers what is what ([`Succession`]), and starts a supervisor that goes on as after one that was killed.
//! If the program cannot be executed nothing has happened, and the supervisor goes on.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use home::AppFolder;
use home::runtime_folder::RuntimeFolder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use sys::{LeftOpen, Memo, Tie};

use super::ended::EndedPipe;
use super::keeper::{Guarded, Keeper};
use super::takeover::Notes;

/// Behind `maitred supervise FOLDER`: go on with what is described in the next word.
pub const FOLLOW: &str = "--follow";

/// Behind `maitred supervise FOLDER`: say whether this program could go on with what standard input describes.
pub const TRY: &str = "--try";

/// What a program says that could.
pub const CAN_FOLLOW: &str = "can follow\n";

/// What is noted is understood by versions that know this number. One that changes its meaning counts it up;
/// one that adds to it does not.
const FORMAT: u32 = 1;

/// A supervisor that makes way has let go of everything within this time: it closes some descriptors.
const LETS_GO: Duration = Duration::from_secs(10);

/// What is asked of a guard.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Order {
    /// What it is to become.
    pub(crate) program: PathBuf,
    /// The number of the socket by which the next supervisor says that it goes on.
    pub(crate) socket: i32,
    /// That of the one over which the proxy's clients come, if there is a proxy.
    pub(crate) clients: Option<i32>,
    /// The supervisor that asks.
    pub(crate) supervisor: i32,
    /// Why it could not be done: the guard's answer.
    pub(crate) failed: Option<String>,
}

/// What a guard was before it became this program: the numbers of its descriptors, and of its supervisor.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Succession {
    pub(crate) format: u32,
    /// The version of the messages between supervisor and library, which workers have loaded.
    pub(crate) wire: u16,
    /// The version of maitred that it was.
    pub(crate) from: String,
    pub(crate) app_lock: i32,
    pub(crate) runtime_folder: PathBuf,
    pub(crate) runtime_lock: i32,
    pub(crate) ready: i32,
    pub(crate) notes: i32,
    pub(crate) channels: i32,
    pub(crate) orders: i32,
    pub(crate) tie: [i32; 2],
    pub(crate) ended: [i32; 2],
    pub(crate) supervisor: i32,
    pub(crate) socket: i32,
    pub(crate) clients: Option<i32>,
}

/// The supervisor before this one, which has made way for it.
#[derive(Debug)]
pub(crate) struct Predecessor {
    pub(crate) pid: Pid,
    pub(crate) version: String,
    /// By this it is told that this one goes on.
    socket: Option<OwnedFd>,
    /// Over this it sends the clients of its proxy.
    pub(crate) clients: Option<OwnedFd>,
}

/// What a program is asked before it is executed.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Question {
    pub(crate) succession: Succession,
    pub(crate) notes: String,
    pub(crate) channels: String,
}

impl Succession {
    /// That of this version.
    pub(crate) fn of_this_version() -> Self {
        Self {
            format: FORMAT,
            wire: wire::VERSION,
            from: env!("CARGO_PKG_VERSION").to_owned(),
            ..Self::default()
        }
    }

    /// The same with what a guard guards.
    pub(crate) fn with(self, guarded: &Guarded<'_>) -> Self {
        Self {
            app_lock: guarded.lock.as_raw_fd(),
            runtime_folder: guarded.runtime.path().to_owned(),
            runtime_lock: guarded.runtime.lock(),
            ..self
        }
    }

    /// Becomes what is ordered. Returns only if that fails: why.
    pub(crate) fn become_next(&mut self, order: &Order, guarded: &Guarded<'_>) -> String {
        (self.supervisor, self.socket) = (order.supervisor, order.socket);
        self.clients = order.clients;
        let Some(folder) = guarded.app.to_str() else {
            return format!("the path {} is not UTF-8", guarded.app.display());
        };
        let text = serde_json::to_string(self).unwrap_or_default();
        let words = ["maitred", "supervise", folder, FOLLOW, &text];
        let error = sys::become_program(&order.program, &words.map(str::to_owned));
        format!("executing {}: {error}", order.program.display())
    }

    /// Whether this program can go on with it.
    fn check(&self) -> anyhow::Result<()> {
        let own = env!("CARGO_PKG_VERSION");
        if self.format > FORMAT {
            bail!(
                "maitred {} notes what it does in a way that this version, {own}, does not know",
                self.from
            );
        }
        if self.wire != wire::VERSION {
            bail!(
                "the workers have loaded the library of maitred {}, which this version, {own}, cannot \
                 talk to",
                self.from
            );
        }
        Ok(())
    }
}

/// Whether this program can go on with what is described; for [`TRY`].
///
/// # Errors
/// If it cannot; says why.
pub fn can_follow(question: &[u8], folder: &Path) -> anyhow::Result<()> {
    // What cannot be read may say of which version it is.
    #[derive(Deserialize)]
    struct Versions {
        succession: Succession,
    }
    let versions: Versions =
        serde_json::from_slice(question).context("reading what a supervisor hands over")?;
    versions.succession.check()?;
    let question: Question =
        serde_json::from_slice(question).context("reading what a supervisor hands over")?;
    serde_json::from_str::<Notes>(&question.notes).context("reading its notes on instances")?;
    dispatcher::can_take_over(question.channels.as_bytes())
        .context("reading its notes on workers")?;
    AppFolder::new(folder.to_owned()).record()?;
    Ok(())
}

/// A guard, with its locks, as it is when it has become this program; for [`FOLLOW`]. To be called before
/// anything is opened.
///
/// # Errors
/// If something of it is missing.
pub fn follow(succession: &str) -> anyhow::Result<(Keeper, OwnedFd, RuntimeFolder)> {
    let mut left: LeftOpen = sys::take_all()
        .context("taking descriptors over")?
        .into_iter()
        .collect();
    let succession: Succession =
        serde_json::from_str(succession).context("reading what is handed over")?;
    succession.check()?;
    let app_lock = take(&mut left, succession.app_lock)?;
    let runtime_lock = take(&mut left, succession.runtime_lock)?;
    let folder = RuntimeFolder::again(succession.runtime_folder.clone(), runtime_lock)?;
    let keeper = Keeper::again(Box::new(succession), left)?;
    Ok((keeper, app_lock, folder))
}

/// The descriptor of this number, which whoever hands over has left open.
pub(crate) fn take(left: &mut LeftOpen, number: i32) -> anyhow::Result<OwnedFd> {
    left.take(number)
        .with_context(|| format!("descriptor {number} was not handed over"))
}

impl Succession {
    pub(crate) fn memos(&self, left: &mut LeftOpen) -> anyhow::Result<[Memo; 3]> {
        let [notes, channels, orders] = [self.notes, self.channels, self.orders];
        let mut memo = |number| Ok::<_, anyhow::Error>(Memo::of(take(left, number)?));
        Ok([memo(notes)?, memo(channels)?, memo(orders)?])
    }

    pub(crate) fn tie(&self, left: &mut LeftOpen) -> anyhow::Result<Tie> {
        let [read, hold] = self.tie;
        Ok(Tie::of([take(left, read)?, take(left, hold)?]))
    }

    pub(crate) fn ended(&self, left: &mut LeftOpen) -> anyhow::Result<EndedPipe> {
        let [read, write] = self.ended;
        Ok(EndedPipe::of([take(left, read)?, take(left, write)?]))
    }

    /// The supervisor that makes way, if there is one.
    pub(crate) fn predecessor(&self, left: &mut LeftOpen) -> Option<Predecessor> {
        Some(Predecessor {
            pid: Pid::from_raw(self.supervisor)?,
            version: self.from.clone(),
            socket: Some(left.take(self.socket)?),
            clients: self.clients.and_then(|clients| left.take(clients)),
        })
    }
}

impl Predecessor {
    /// Tells it that this supervisor goes on, and waits until it has let go of everything. One that does not, or
    /// has died, is treated as one that was killed.
    pub(crate) fn make_it_go(&mut self) {
        let Some(socket) = self.socket.take() else {
            return;
        };
        let time = Timespec::try_from(LETS_GO).ok();
        let told = rustix::io::write(&socket, b"go");
        let mut done = [PollFd::new(&socket, PollFlags::IN)];
        // No signal interrupts it: all are blocked.
        let has_let_go =
            told.is_ok() && poll(&mut done, time.as_ref()).is_ok_and(|ready| ready > 0);
        if !has_let_go {
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(succession: Succession, notes: &str, channels: &str) -> Vec<u8> {
        let question = Question {
            succession,
            notes: notes.to_owned(),
            channels: channels.to_owned(),
        };
        serde_json::to_vec(&question).unwrap()
    }

    /// Whatever another version may have written, this one says what it does not understand.
    #[test]
    fn what_is_not_understood_is_refused() {
        let folder = Path::new("/does/not/exist");
        let own = Succession::of_this_version;
        let notes = serde_json::to_string(&Notes::default()).unwrap();
        let channels = r#"{"listeners":[],"members":[],"processes":{},"clusters":[]}"#;
        let newer = Succession {
            format: FORMAT + 1,
            ..own()
        };
        let library = Succession {
            wire: wire::VERSION + 1,
            ..own()
        };
        let more = question(own(), &notes, channels);
        let more = String::from_utf8(more).unwrap();
        let more = more.replace(r#"{"succession":{"#, r#"{"succession":{"unknown":1,"#);
        for (question, says) in [
            (question(newer, &notes, channels), "does not know"),
            (question(library, &notes, channels), "cannot talk to"),
            (question(own(), "{}", channels), "its notes on instances"),
            (question(own(), &notes, "[]"), "its notes on workers"),
            (b"{}".to_vec(), "what a supervisor hands over"),
            // All of it is understood, but there is no app.
            (question(own(), &notes, channels), "app.json"),
            (more.into_bytes(), "app.json"),
        ] {
            let error = can_follow(&question, folder).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_was_not_handed_over_is_named() {
        let succession = Succession {
            notes: 77,
            ..Succession::of_this_version()
        };
        let error = succession.memos(&mut LeftOpen::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("descriptor 77 was not handed over")
        );
    }
}
