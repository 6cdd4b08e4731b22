//! A descriptor that a child finds under a fixed number.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The number of the first descriptor after the standard ones. A runtime that closes, or marks,
/// what it has inherited spares this one, as Node's parents use it too.
pub const CHANNEL: i32 = 3;

/// Sees to it that [`CHANNEL`] is taken in this process, as long as this lives: what is put there
/// in a child must not replace the pipe over which the child tells that it could not execute its
/// program.
#[derive(Debug)]
pub struct ChannelPlace {
    _holder: Option<OwnedFd>,
}

impl ChannelPlace {
    /// To be made early: if something else has the number by then, that must keep it.
    ///
    /// # Errors
    /// If there is no descriptor left.
    pub fn hold() -> io::Result<Self> {
        let null = std::fs::File::open("/dev/null")?;
        let holder = rustix::io::fcntl_dupfd_cloexec(&null, CHANNEL)?;
        // Otherwise something else has it.
        Ok(Self {
            _holder: (holder.as_raw_fd() == CHANNEL).then_some(holder),
        })
    }

    /// Gives this descriptor to the command's child, under the number [`CHANNEL`]; no other child
    /// gets it.
    pub fn give(&self, command: &mut Command, descriptor: OwnedFd) {
        let before_exec = move || {
            let own = descriptor.as_raw_fd();
            // SAFETY: these calls take numbers. What has the number CHANNEL in this process, which
            // is about to become another program, is closed; only our parent uses it.
            let result = unsafe {
                if own == CHANNEL {
                    libc::fcntl(own, libc::F_SETFD, 0)
                } else {
                    libc::dup2(own, CHANNEL)
                }
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            command.pre_exec(before_exec);
        }
    }
}
