//! Counts the system calls of running processes with `strace -c`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::child::{Child, Program};
use crate::scratch::Scratch;
use crate::tools;

pub(crate) struct Strace {
    child: Child,
    summary: std::path::PathBuf,
}

/// Name → number of calls.
pub(crate) type Counts = BTreeMap<String, u64>;

impl Strace {
    /// Starts to count, in all threads of `pids`.
    pub(crate) fn attach(pids: &[Pid], scratch: &Scratch) -> Result<Self> {
        let summary = scratch.path().join("strace.summary");
        let mut arguments = vec!["-c".to_owned(), "-f".to_owned()];
        for pid in pids {
            arguments.extend(["-p".to_owned(), pid.to_string()]);
        }
        let mut child = Program::new(&tools::find("strace")?)?
            .args(arguments)
            .args(["-o".as_ref(), summary.as_os_str()])
            .start(scratch.path().join("strace.log"))?;
        // It says so once for each process, after it holds all its threads.
        child
            .wait_until(Duration::from_secs(10), |output| {
                output.matches("attached").count() >= pids.len()
            })
            .context("attaching strace")?;
        Ok(Self { child, summary })
    }

    /// Lets the processes go, and returns what they called.
    pub(crate) fn finish(self) -> Result<Counts> {
        // SIGINT may be ignored, as it is in what a script starts with `&`.
        self.child.signal(Signal::SIGTERM)?;
        self.child
            .finish(Duration::from_secs(10))
            .context("ending strace")?;
        let text = fs::read_to_string(&self.summary).context("reading what strace counted")?;
        Ok(parse(&text))
    }
}

/// Lines of `% time, seconds, usecs/call, calls, [errors], syscall`.
fn parse(summary: &str) -> Counts {
    summary
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let name = *fields.last().filter(|&&name| name != "total")?;
            Some((name.to_owned(), fields.get(3)?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_summary_with_and_without_errors() {
        let counts = parse(
            "% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000120           1       120           accept4
 40.00    0.000080           1        80        12 sendmsg
------ ----------- ----------- --------- --------- ----------------
100.00    0.000200           1       200        12 total
",
        );
        assert_eq!(
            counts,
            Counts::from([("accept4".to_owned(), 120), ("sendmsg".to_owned(), 80)])
        );
    }
}
