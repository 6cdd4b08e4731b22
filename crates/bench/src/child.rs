//! Processes that end when the benchmark does. Each leads a process group of
//! its own. It is ended on drop (SIGTERM, then SIGKILL to the group), on
//! SIGINT and SIGTERM by a thread that waits for them, and, should the
//! benchmark itself be killed, by the kernel (PR_SET_PDEATHSIG, which the
//! hidden command `exec` sets before it becomes the program).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// The groups to end on a signal.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
static AT_END: Mutex<Vec<Command>> = Mutex::new(Vec::new());

/// How long a process may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// A program to start: everything but its log.
pub(crate) struct Program {
    command: Command,
}

pub(crate) struct Child {
    process: std::process::Child,
    log: PathBuf,
}

/// Ends all children when the user ends the benchmark. Call it first in
/// `main`: threads started later inherit the blocked signals.
pub(crate) fn end_children_on_signals() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("blocking signals")?;
    std::thread::spawn(move || {
        let Ok(signal) = signals.wait() else { return };
        end_all();
        crate::scratch::remove();
        std::process::exit(128 + signal as i32);
    });
    Ok(())
}

/// What must run when a signal ends the benchmark: the end of a manager that is
/// nobody's child.
pub(crate) fn run_at_end(command: Command) {
    AT_END
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(command);
}

/// SIGTERM first: those with workers of their own then end them too.
fn end_all() {
    for command in &mut *AT_END.lock().unwrap_or_else(PoisonError::into_inner) {
        // Nothing to be done about a manager that does not go.
        let _ = command.output();
    }
    let groups = GROUPS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for &group in &groups {
        let _ = kill(group, Signal::SIGTERM);
    }
    let deadline = Instant::now() + GRACE;
    for &group in &groups {
        // An error means that the main thread has reaped it meanwhile.
        while matches!(ended(group), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        if ended(group).is_ok() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// How a child ended, if it did. It stays a zombie, so that its number, which
/// is its group's too, is nobody else's until the drop.
fn ended(pid: Pid) -> Result<Option<String>> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(
        match waitid(Id::Pid(pid), flags).context("watching a process")? {
            WaitStatus::Exited(_, code) => Some(format!("exited with code {code}")),
            WaitStatus::Signaled(_, signal, _) => Some(format!("was ended by {signal}")),
            _ => None,
        },
    )
}

impl Program {
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let own = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(own);
        command
            .args(["exec", "--parent", &std::process::id().to_string(), "--"])
            .arg(program);
        // Its last words would be a backtrace instead of the reason.
        command.env_remove("RUST_BACKTRACE");
        command.process_group(0).stdin(Stdio::null());
        Ok(Self { command })
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it. Must be called on the main thread: PR_SET_PDEATHSIG means
    /// the thread that started the process.
    pub(crate) fn start(mut self, log: PathBuf) -> Result<Child> {
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let errors = output.try_clone().context("sharing the log")?;
        self.command.stdout(output).stderr(errors);
        let process = self.command.spawn().context("starting a process")?;
        let child = Child { process, log };
        GROUPS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(child.pid());
        Ok(child)
    }
}

impl Child {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id() as i32)
    }

    /// Waits until `ready` says so; an end of the process or of the patience
    /// is an error that shows what the process wrote last.
    pub(crate) fn wait_until(
        &mut self,
        patience: Duration,
        mut ready: impl FnMut(&str) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let output = fs::read_to_string(&self.log).unwrap_or_default();
            if ready(&output) {
                return Ok(());
            }
            if let Some(end) = ended(self.pid())? {
                bail!("it {end}{}", said(&output));
            }
            if Instant::now() > deadline {
                bail!("it was not ready after {patience:?}{}", said(&output));
            }
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).with_context(|| format!("sending {signal}"))
    }

    /// Waits for its end.
    pub(crate) fn finish(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while ended(self.pid())?.is_none() {
            if Instant::now() > deadline {
                bail!("it did not end within {patience:?}");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.signal(Signal::SIGTERM);
        let _ = self.finish(GRACE);
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|&group| group != self.pid());
        let _ = self.process.wait();
    }
}

fn said(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    match lines.split_at(lines.len().saturating_sub(10)).1 {
        [] => " without a word".to_owned(),
        last => format!("; its last words:\n    {}", last.join("\n    ")),
    }
}
