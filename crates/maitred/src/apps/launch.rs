//! Starting a supervisor in the background.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::fs::OFlags;

use home::{Claim, Home};
use process::cgroup::Branch;

/// What a supervisor says when it can be asked.
pub(crate) const READY: &str = "ready\n";

/// More than this of what supervisors have said is not kept.
const LONGEST_LOG: u64 = 1024 * 1024;

/// What a supervisor gets of our environment; what its app gets stands in the record.
const PASSED_ON: [&str; 7] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "RUST_BACKTRACE",
];

/// Starts the supervisor of an app, hands the right to run it down to it, and waits until it can
/// be asked.
///
/// # Errors
/// If it cannot be started; says what it said.
pub(crate) fn launch(claim: Claim) -> anyhow::Result<()> {
    // The supervisor can use the branch's memory only when we are not in its root.
    let _ = Branch::claim();
    let folder = claim.folder().clone();
    let log = folder.log();
    let too_long = std::fs::metadata(&log).is_ok_and(|meta| meta.len() > LONGEST_LOG);
    let stderr = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&log)
        .with_context(|| format!("opening {}", log.display()))?;
    if too_long {
        stderr.set_len(0).context("emptying the supervisor's log")?;
    }
    let (mut ready, theirs) = io::pipe().context("making a pipe")?;
    let program = std::env::current_exe().context("finding maitred's own file")?;
    let mut command = Command::new(program);
    command
        .arg0("maitred")
        .arg("supervise")
        .arg(folder.path())
        .current_dir("/")
        .env_clear()
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .stdin(Stdio::from(
            claim.hand_down().context("handing the lock down")?,
        ))
        .stdout(theirs)
        .stderr(stderr);
    if let Some(home) = Home::of(&folder) {
        command.env("MAITRED_HOME", home.path());
    }
    sys::set_up_daemon(&mut command);
    let mut child = command.spawn().context("starting a supervisor")?;
    // With it goes our copy of the pipe's end.
    drop(command);
    drop(claim);
    let mut said = String::new();
    let mut byte = [0; 1];
    while said != READY && matches!(ready.read(&mut byte), Ok(1)) {
        said.push(char::from(byte[0]));
    }
    if said != READY {
        let status = child.wait().context("waiting for the supervisor")?;
        let said = said.trim();
        if said.is_empty() {
            bail!("its supervisor has ended ({status}); see {}", log.display());
        }
        bail!("its supervisor could not start: {said}");
    }
    Ok(())
}
