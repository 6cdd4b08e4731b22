//! Counts instructions one by one: a thread of another process is held by ptrace, and let go for one
//! instruction at a time. So counts are exact, also of what a runtime has compiled itself, need no
//! counters of the processor, which many virtual machines lack, and tell whose each instruction is.
//! Only user space counts; a system call is one instruction.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// The calls in which an event loop waits.
const WAITS: [i64; 3] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
];
/// `syscall`, of two bytes.
const SYSCALL: [u8; 2] = [0x0f, 0x05];
/// The longest that one request may take at some 30,000 instructions a second.
const PATIENCE: Duration = Duration::from_secs(180);

/// What one request has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) instructions: u64,
    /// Those of them that the preload library executed.
    pub(crate) library: u64,
    pub(crate) system_calls: u64,
}

/// A process whose main thread stands still before it waits for events. It goes on on drop.
pub(crate) struct Stepped {
    pid: Pid,
    /// Where the library's code lies; empty without it.
    library: Vec<Range<u64>>,
    /// Whether the instruction at an address is a system call.
    calls: HashMap<u64, bool>,
    /// The signal to be delivered with the next step.
    signal: Option<Signal>,
}

impl Stepped {
    /// Holds the process. Nothing may be under way there.
    pub(crate) fn hold(pid: Pid) -> Result<Self> {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))
            .context("reading where the library lies")?;
        ptrace::seize(pid, ptrace::Options::empty()).context("holding a process by ptrace")?;
        let mut stepped = Self {
            pid,
            library: library(&maps),
            calls: HashMap::new(),
            signal: None,
        };
        ptrace::interrupt(pid).context("interrupting a process")?;
        stepped.wait()?;
        // The interrupted call is made again.
        stepped.count(|| Ok(true))?;
        Ok(stepped)
    }

    pub(crate) fn has_library(&self) -> bool {
        !self.library.is_empty()
    }

    /// Lets the process go on until it waits for events again and `done` says that all has come.
    pub(crate) fn count(&mut self, mut done: impl FnMut() -> Result<bool>) -> Result<Count> {
        let _watch = Watch::start(self.pid);
        let mut count = Count::default();
        let mut last = 0;
        loop {
            let registers = ptrace::getregs(self.pid).context("reading registers")?;
            let at = registers.rip;
            let calls = self.is_call(at)?;
            if calls && WAITS.contains(&(registers.rax as i64)) && done()? {
                return Ok(count);
            }
            // A string instruction stops after each repetition, and is one.
            if at != last {
                count.instructions += 1;
                count.library += u64::from(self.library.iter().any(|code| code.contains(&at)));
                count.system_calls += u64::from(calls);
            }
            last = at;
            ptrace::step(self.pid, self.signal.take()).context("making a step")?;
            self.wait()?;
        }
    }

    fn is_call(&mut self, at: u64) -> Result<bool> {
        if let Some(&known) = self.calls.get(&at) {
            return Ok(known);
        }
        let word = ptrace::read(self.pid, at as ptrace::AddressType)
            .context("reading an instruction")?
            .to_ne_bytes();
        let is_call = word.starts_with(&SYSCALL);
        self.calls.insert(at, is_call);
        Ok(is_call)
    }

    fn wait(&mut self) -> Result<()> {
        match waitpid(self.pid, None).context("waiting for a step")? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) | WaitStatus::PtraceEvent(..) => {}
            WaitStatus::Stopped(_, signal) => self.signal = Some(signal),
            other => bail!("the process has ended: {other:?}"),
        }
        Ok(())
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        // It may have ended.
        let _ = ptrace::detach(self.pid, self.signal.take());
    }
}

/// Ends a process that never gets to its next wait: `waitpid` knows no timeout.
struct Watch(#[expect(dead_code, reason = "its drop ends the thread")] Sender<()>);

impl Watch {
    fn start(pid: Pid) -> Self {
        let (sender, receiver) = channel::<()>();
        std::thread::spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self(sender)
    }
}

/// The executable parts of the library among a process's mappings.
fn library(maps: &str) -> Vec<Range<u64>> {
    maps.lines()
        .filter(|line| line.ends_with("/libmaitred.so"))
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (from, to) = fields.next()?.split_once('-')?;
            let address = |text| u64::from_str_radix(text, 16).ok();
            fields
                .next()?
                .contains('x')
                .then_some(address(from)?..address(to)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_librarys_code_is_its_own() {
        let maps = "\
7f00-7f03 r--p 00000000 fe:00 19 /tmp/maitred-8554f0fd66650c8e/libmaitred.so
7f03-7f11 r-xp 00002000 fe:00 19 /tmp/maitred-8554f0fd66650c8e/libmaitred.so
8f03-8f11 r-xp 00002000 fe:00 20 /usr/lib/libc.so.6
";
        let range = 0x7f03..0x7f11;
        assert_eq!(library(maps), std::slice::from_ref(&range));
    }
}
