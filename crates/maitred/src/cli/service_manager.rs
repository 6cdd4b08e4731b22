//! `maitred run` as a service of systemd: tells it that all is up, and that maitred lives, has it store the
//! app's listening sockets (`sd_notify(3)`), and takes those that it passes (`sd_listen_fds(3)`).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{AddressFamily, sockopt};
use sd_notify::NotifyState;
use supervisor::Store;

/// Whether somebody waits to hear that all is up.
pub(super) fn waits() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// All is up.
pub(super) fn is_ready() {
    tell(NotifyState::Ready);
}

/// How often to give a sign of life, if anybody wants one: twice in the time after which this process
/// would be taken to hang. To be asked before it forks.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// maitred does its work.
pub(super) fn lives() {
    tell(NotifyState::Watchdog);
}

fn tell(state: NotifyState<'_>) {
    // One that is not there any more does not wait for it.
    let _ = sd_notify::notify(&[state]);
}

/// The name of our sockets in the store. Those of a socket unit have the unit's, which has a dot.
const STORED: &str = "maitred-listener";

/// What stores the app's sockets while the unit restarts: systemd, from 254 on, where the unit has
/// `FileDescriptorStoreMax=`.
pub(super) fn store() -> Option<Store> {
    let most = std::env::var("FDSTORE").ok()?.parse::<u32>().ok()?;
    (waits() && most > 0).then_some(keep)
}

fn keep(socket: OwnedFd) -> io::Result<()> {
    let name = NotifyState::FdName(STORED);
    sd_notify::notify_with_fds(&[NotifyState::FdStore, name], &[socket.as_fd()])
}

/// The listening sockets that were passed to this process.
#[derive(Default)]
pub(super) struct Passed {
    /// Those at which systemd listens itself.
    pub(super) lent: Vec<OwnedFd>,
    /// Those that it has kept since the unit's last run.
    pub(super) stored: Vec<OwnedFd>,
}

/// What was passed to this process.
///
/// # Errors
/// If one of the sockets is of a kind that workers cannot share.
pub(super) fn passed_sockets() -> anyhow::Result<Passed> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (Some(pid), Some(count)) = (number("LISTEN_PID"), number("LISTEN_FDS")) else {
        return Ok(Passed::default());
    };
    // A process that was started by the one they are for has these variables, and no sockets.
    if pid != std::process::id() {
        return Ok(Passed::default());
    }
    let sockets =
        sys::take_passed(count).context("taking the sockets that were passed (LISTEN_FDS)")?;
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = Passed::default();
    for (socket, number) in sockets.into_iter().zip(3..) {
        if names.next() == Some(STORED) {
            passed.stored.push(socket);
            continue;
        }
        let is_tcp = matches!(
            sockopt::socket_domain(&socket),
            Ok(AddressFamily::INET | AddressFamily::INET6)
        );
        if !is_tcp || !sockopt::socket_acceptconn(&socket).unwrap_or(false) {
            bail!(
                "descriptor {number} that was passed (LISTEN_FDS) is no listening TCP socket, and workers can \
                 share no other. The app itself can open a Unix socket, at a path in RuntimeDirectory="
            );
        }
        passed.lent.push(socket);
    }
    Ok(passed)
}
