//! Messages over sockets, with a descriptor beside them.

use super::{EINTR, MSG_CTRUNC, MSG_NOSIGNAL, SCM_RIGHTS, SOL_SOCKET, call};
use crate::arch::nr;

/// `struct iovec`.
#[repr(C)]
pub(crate) struct IoVec {
    pub(crate) base: *mut u8,
    pub(crate) len: usize,
}

/// `struct msghdr`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MsgHdr {
    pub(crate) name: *mut u8,
    pub(crate) name_len: u32,
    pub(crate) iov: *mut IoVec,
    pub(crate) iov_len: usize,
    pub(crate) control: *mut u8,
    pub(crate) control_len: usize,
    pub(crate) flags: i32,
}

/// A control message with room for one descriptor: `struct cmsghdr`, data, padding.
#[repr(C)]
pub(crate) struct OneFd {
    pub(crate) len: usize,
    pub(crate) level: i32,
    pub(crate) kind: i32,
    pub(crate) fd: i32,
    pub(crate) pad: i32,
}

impl OneFd {
    /// `CMSG_LEN(sizeof(int))`.
    const LEN: usize = 20;

    /// Room for a descriptor to arrive.
    pub(crate) const EMPTY: Self = Self {
        len: 0,
        level: 0,
        kind: 0,
        fd: -1,
        pad: 0,
    };

    pub(crate) fn holding(fd: i32) -> Self {
        Self {
            len: Self::LEN,
            level: SOL_SOCKET,
            kind: SCM_RIGHTS,
            fd,
            pad: 0,
        }
    }

    /// The descriptor that arrived, if one did.
    pub(crate) fn received(&self, control_len: usize) -> Option<i32> {
        (control_len >= Self::LEN
            && self.len == Self::LEN
            && self.level == SOL_SOCKET
            && self.kind == SCM_RIGHTS)
            .then_some(self.fd)
    }
}

/// Sends `bytes`, with a copy of `fd` beside them if it is not negative.
pub(crate) fn send(socket: i32, bytes: &mut [u8], fd: i32) -> isize {
    send_with(socket, bytes, fd, MSG_NOSIGNAL)
}

/// The same, with these flags.
pub(crate) fn send_with(socket: i32, bytes: &mut [u8], fd: i32, flags: i32) -> isize {
    let mut control = OneFd::holding(fd);
    let mut iov = IoVec {
        base: bytes.as_mut_ptr(),
        len: bytes.len(),
    };
    let with = fd >= 0;
    let message = MsgHdr {
        name: core::ptr::null_mut(),
        name_len: 0,
        iov: &mut iov,
        iov_len: 1,
        control: if with {
            (&raw mut control).cast()
        } else {
            core::ptr::null_mut()
        },
        control_len: if with { size_of::<OneFd>() } else { 0 },
        flags: 0,
    };
    loop {
        // SAFETY: the header, and all that it points to, lives on this stack until the call is
        // over, with the lengths given.
        let sent = unsafe {
            call(
                nr::SENDMSG,
                [
                    socket as usize,
                    (&raw const message) as usize,
                    flags as usize,
                    0,
                    0,
                    0,
                ],
            )
        };
        if sent != -(EINTR as isize) {
            return sent;
        }
    }
}

/// What came with a message.
pub(crate) enum Beside {
    Nothing,
    Descriptor(i32),
    /// A descriptor that was lost, because this process may have no more.
    Lost,
}

/// Receives a message into `bytes`, and a descriptor that came with it.
pub(crate) fn receive(socket: i32, bytes: &mut [u8], flags: i32) -> (isize, Beside) {
    let mut control = OneFd::EMPTY;
    let mut iov = IoVec {
        base: bytes.as_mut_ptr(),
        len: bytes.len(),
    };
    let mut message = MsgHdr {
        name: core::ptr::null_mut(),
        name_len: 0,
        iov: &mut iov,
        iov_len: 1,
        control: (&raw mut control).cast(),
        control_len: size_of::<OneFd>(),
        flags: 0,
    };
    // SAFETY: the header, and all that it points to, lives on this stack until the call is over,
    // with the lengths given; the kernel writes within them.
    let received = unsafe {
        call(
            nr::RECVMSG,
            [
                socket as usize,
                (&raw mut message) as usize,
                flags as usize,
                0,
                0,
                0,
            ],
        )
    };
    let beside = match control.received(message.control_len) {
        _ if received < 0 => Beside::Nothing,
        Some(fd) => Beside::Descriptor(fd),
        None if message.flags & MSG_CTRUNC != 0 => Beside::Lost,
        None => Beside::Nothing,
    };
    (received, beside)
}
