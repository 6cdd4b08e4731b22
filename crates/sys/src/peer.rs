//! Who is at the other end of a Unix socket, and all that it sent.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// As many descriptors as the kernel lets one message carry (`SCM_MAX_FD`).
const MOST_DESCRIPTORS: usize = 253;

/// A handle of the process that connected this socket (`SO_PEERPIDFD`, Linux 6.5): of that process,
/// also where its number belongs to another one by now.
///
/// # Errors
/// Those of `getsockopt(2)`; `ENOPROTOOPT` where the kernel is older.
pub fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut fd: libc::c_int = -1;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one number, as `len` says, and the length.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut len,
        )
    };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Receives one message, and all descriptors that came with it, close-on-exec. None of them is
/// closed here, not even one that was not expected: to close what a stranger has sent may take as
/// long as the stranger likes (`SO_LINGER`, FUSE). Does not wait for a message.
///
/// # Errors
/// Those of `recvmsg(2)`; `WouldBlock` when there is nothing.
pub fn receive_all(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space =
        [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [io::IoSliceMut::new(bytes)],
        &mut control,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptors.extend(fds);
        }
    }
    Ok((received.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_peer_has_a_handle() {
        let (one, _other) = UnixStream::pair().unwrap();
        match peer_pidfd(one.as_fd()) {
            Ok(handle) => {
                let info =
                    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", handle.as_raw_fd()));
                let own = format!("Pid:\t{}\n", std::process::id());
                assert!(info.unwrap().contains(&own));
            }
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOPROTOOPT)),
        }
    }

    #[test]
    fn all_that_was_sent_is_received() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let (one, other) = UnixStream::pair().unwrap();
        let fds = [one.as_fd(); MOST_DESCRIPTORS];
        let mut space =
            [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(
            &one,
            &[io::IoSlice::new(b"x")],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
        let (len, received) = receive_all(other.as_fd(), &mut [0; 8]).unwrap();
        assert_eq!((len, received.len()), (1, MOST_DESCRIPTORS));
    }
}
