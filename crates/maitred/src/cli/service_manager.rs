//! `maitred run` as a service of systemd: tells it that all is up, and that maitred lives
//! (`sd_notify(3)`), and takes the sockets that it passes (`sd_listen_fds(3)`).

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{AddressFamily, sockopt};
use sd_notify::NotifyState;

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

/// The listening sockets that were passed to this process.
///
/// # Errors
/// If one of them is of a kind that workers cannot share.
pub(super) fn passed_sockets() -> anyhow::Result<Vec<OwnedFd>> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let (Some(pid), Some(count)) = (number("LISTEN_PID"), number("LISTEN_FDS")) else {
        return Ok(Vec::new());
    };
    // A process that was started by the one they are for has these variables, and no sockets.
    if pid != std::process::id() {
        return Ok(Vec::new());
    }
    let sockets =
        sys::take_passed(count).context("taking the sockets that were passed (LISTEN_FDS)")?;
    for (socket, number) in sockets.iter().zip(3..) {
        let is_tcp = matches!(
            sockopt::socket_domain(socket),
            Ok(AddressFamily::INET | AddressFamily::INET6)
        );
        if !is_tcp || !sockopt::socket_acceptconn(socket).unwrap_or(false) {
            bail!(
                "descriptor {number} that was passed (LISTEN_FDS) is no listening TCP socket, and workers can \
                 share no other. The app itself can open a Unix socket, at a path in RuntimeDirectory="
            );
        }
    }
    Ok(sockets)
}
