//! `exec --parent PID -- PROGRAM ARGS…`: asks the kernel to end this process with its
//! parent, and becomes the program. A process may not be told so from outside.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The process to end with
    #[arg(long)]
    parent: i32,
    #[arg(required = true, last = true)]
    program: Vec<OsString>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // SIGTERM, so that those with workers of their own end them too.
    set_pdeathsig(Signal::SIGTERM).context("tying this process to its parent")?;
    // The benchmark waits for its signals in a thread, and blocks them
    // everywhere else; a blocked signal stays blocked in a new program.
    SigSet::empty()
        .thread_set_mask()
        .context("unblocking signals")?;
    // The parent may have ended before: then nobody sends the signal.
    if getppid().as_raw() != arguments.parent {
        bail!("the benchmark has ended already");
    }
    let (program, rest) = arguments
        .program
        .split_first()
        .ok_or_else(|| anyhow!("no program"))?;
    let error = std::process::Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("running {}", program.display()))
}
