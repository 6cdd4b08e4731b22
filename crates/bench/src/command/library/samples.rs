//! Which share of a worker's CPU time, the kernel's on its behalf included, is spent in the library's
//! code: by samples that `perf` takes with the clock, which needs no counters of the processor.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::child::{Child, Program};
use crate::scratch::Scratch;

/// Samples a second; not a divisor of what others do so often.
const FREQUENCY: &str = "4999";
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Samples<'a> {
    perf: &'a Path,
    child: Child,
    data: std::path::PathBuf,
}

impl<'a> Samples<'a> {
    pub(super) fn start(perf: &'a Path, pid: Pid, scratch: &Scratch) -> Result<Self> {
        let data = scratch.path().join("perf.data");
        let child = Program::new(perf)?
            .args(["record", "-q", "-e", "cpu-clock", "-F", FREQUENCY, "-p"])
            .args([pid.to_string()])
            .args(["-o".as_ref(), data.as_os_str()])
            .start(scratch.path().join("perf.log"))?;
        Ok(Self { perf, child, data })
    }

    /// The share, of all samples; `None` where this user's samples leave out the kernel.
    pub(super) fn finish(self) -> Result<Option<f64>> {
        self.child.signal(Signal::SIGINT)?;
        self.child.finish(PATIENCE).context("ending perf")?;
        let output = Command::new(self.perf)
            .args(["report", "-q", "--stdio", "--sort", "dso", "-i"])
            .arg(&self.data)
            .output()
            .context("running perf report")?;
        if !output.status.success() {
            bail!(
                "perf report {}: {}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(share(&String::from_utf8_lossy(&output.stdout)))
    }
}

/// Lines of a percentage and an object.
fn share(report: &str) -> Option<f64> {
    let all: Vec<(f64, &str)> = report
        .lines()
        .filter_map(|line| {
            let (share, object) = line.trim().split_once('%')?;
            Some((share.trim().parse().ok()?, object.trim()))
        })
        .collect();
    let of = |name: &str| {
        let found = all.iter().find(|(_, object)| object.contains(name));
        found.map(|(share, _)| share / 100.0)
    };
    of("[kernel")?;
    Some(of("libmaitred.so").unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_share_is_of_all_samples() {
        let report = "
    70.50%  [kernel.kallsyms]
    27.00%  node
     2.50%  libmaitred.so
";
        assert_eq!(share(report), Some(0.025));
        assert_eq!(share("  100.00%  [kernel.kallsyms]\n"), Some(0.0));
        assert_eq!(
            share("  97.50%  node\n   2.50%  libmaitred.so\n"),
            None,
            "the kernel's time is unknown"
        );
    }
}
