//! Sockets whose addresses and options are bytes: what a worker hands over is of any family.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// A `sockaddr` of any family.
#[derive(Clone, Copy)]
pub struct RawAddress {
    bytes: [u8; Self::SIZE],
    len: usize,
}

impl RawAddress {
    const SIZE: usize = size_of::<libc::sockaddr_storage>();

    /// The bytes of the `sockaddr`.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }

    /// Lets a call fill in an address.
    fn filled(
        call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> io::Result<i32>,
    ) -> io::Result<(i32, Self)> {
        let mut address = Self {
            bytes: [0; Self::SIZE],
            len: 0,
        };
        let mut len = Self::SIZE as libc::socklen_t;
        let result = call(address.bytes.as_mut_ptr().cast(), &mut len)?;
        address.len = (len as usize).min(Self::SIZE);
        Ok((result, address))
    }
}

fn check(result: libc::c_int) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Accepts a connection: close-on-exec, not blocking.
///
/// # Errors
/// Those of `accept4(2)`.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, RawAddress)> {
    let (fd, peer) = RawAddress::filled(|address, len| {
        // SAFETY: `address` has room for `*len` bytes, and both live until the call is over.
        check(unsafe {
            libc::accept4(
                listener.as_raw_fd(),
                address,
                len,
                libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            )
        })
    })?;
    // SAFETY: the call has just made this descriptor, and nobody else knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, peer))
}

/// Binds a socket to an address given as the bytes of a `sockaddr`.
///
/// # Errors
/// Those of `bind(2)`.
pub fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes at the pointer.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            address.as_ptr().cast(),
            address.len() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Binds a socket to a name with something random in it, 64 bits that `name` is called with. A name
/// that somebody else has is given up for another one.
///
/// # Errors
/// Those of `getrandom(2)` and `bind(2)`.
pub fn bind_random<N: AsRef<[u8]>>(
    socket: BorrowedFd<'_>,
    name: impl Fn(u64) -> N,
) -> io::Result<()> {
    const TRIES: u32 = 4;
    let mut tries = 0;
    loop {
        let mut nonce = [0; 8];
        rustix::rand::getrandom(&mut nonce, rustix::rand::GetRandomFlags::empty())?;
        tries += 1;
        match bind(socket, name(u64::from_ne_bytes(nonce)).as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {}
            bound => return bound,
        }
    }
}

/// The address that a socket is bound to.
///
/// # Errors
/// Those of `getsockname(2)`.
pub fn local_address(socket: BorrowedFd<'_>) -> io::Result<RawAddress> {
    RawAddress::filled(|address, len| {
        // SAFETY: `address` has room for `*len` bytes, and both live until the call is over.
        check(unsafe { libc::getsockname(socket.as_raw_fd(), address, len) })
    })
    .map(|(_, address)| address)
}

/// The address of the one that a socket is connected to.
///
/// # Errors
/// Those of `getpeername(2)`.
pub fn peer_address(socket: BorrowedFd<'_>) -> io::Result<RawAddress> {
    RawAddress::filled(|address, len| {
        // SAFETY: `address` has room for `*len` bytes, and both live until the call is over.
        check(unsafe { libc::getpeername(socket.as_raw_fd(), address, len) })
    })
    .map(|(_, address)| address)
}

/// Connects to a Unix socket by its path.
///
/// # Errors
/// `InvalidInput` for a path of more than 107 bytes, else those of `connect(2)`.
pub fn connect_unix(socket: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let address = rustix::net::SocketAddrUnix::new(path)?;
    Ok(rustix::net::connect(socket, &address)?)
}

/// Sets a socket option whose value is plain data.
///
/// # Errors
/// `InvalidInput` for an option whose value is not plain data, else those of `setsockopt(2)`.
pub fn write_option(
    socket: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: &[u8],
) -> io::Result<()> {
    if is_not_plain(level, option) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the kernel reads `len` bytes at the pointer; options that would make it follow
    // pointers among them are refused above.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Reads a socket option into `value`; how many bytes it has.
///
/// # Errors
/// `InvalidInput` for an option whose value is not plain data, else those of `getsockopt(2)`.
pub fn read_option(
    socket: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: &mut [u8],
) -> io::Result<usize> {
    if is_not_plain(level, option) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut len = value.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes at the pointer, and the length; options that
    // would make it follow pointers found there are refused above.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &mut len,
        )
    })?;
    Ok((len as usize).min(value.len()))
}

/// Lets a socket receive only those messages that have one of these numbers, 16 bits in network
/// order, at this offset: a filter in the kernel (classic BPF).
///
/// # Errors
/// `InvalidInput` for more than 200 numbers, else those of `setsockopt(2)`.
pub fn accept_ports_at(socket: BorrowedFd<'_>, offset: u32, numbers: &[u16]) -> io::Result<()> {
    const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    if numbers.len() > 200 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut program = vec![step(LOAD_HALF, 0, offset)];
    for (at, number) in numbers.iter().enumerate() {
        // Over the comparisons that are left, and over the refusal behind them.
        let jump = numbers.len() - at;
        program.push(step(JUMP_IF_EQUAL, jump as u8, u32::from(*number)));
    }
    program.push(step(RETURN, 0, 0));
    program.push(step(RETURN, 0, u32::MAX));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel reads the structure, and as many steps as it says at its pointer; both
    // live until the call is over, and the kernel checks the program itself.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Options that read or write memory which their value points to, or open a descriptor.
fn is_not_plain(level: i32, option: i32) -> bool {
    const SO_PEERPIDFD: i32 = 77;
    match level {
        libc::SOL_SOCKET => matches!(
            option,
            libc::SO_ATTACH_FILTER | libc::SO_ATTACH_REUSEPORT_CBPF | SO_PEERPIDFD
        ),
        libc::IPPROTO_TCP => option == libc::TCP_ZEROCOPY_RECEIVE,
        // Netfilter's tables lie above these, and among IPv6's options.
        libc::IPPROTO_IP => option >= 64,
        libc::IPPROTO_IPV6 => option >= 64 && !matches!(option, 67 | 70 | 73 | 75 | 78),
        _ => true,
    }
}

/// How much of what was sent the other side has still to read: not the bytes themselves, but what
/// the kernel keeps for them, and 0 only if there are none.
///
/// # Errors
/// Those of `ioctl(2)`.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one number.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Sends one message, and a copy of `fd` beside it if there is one. Never blocks.
///
/// # Errors
/// Those of `sendmsg(2)`; `WouldBlock` when the socket takes no more.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(
        socket,
        &[io::IoSlice::new(bytes)],
        &mut control,
        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Lets the kernel refuse descriptors that are sent to a Unix socket from which bytes alone are read:
/// they would be closed by the reader, which takes as long as whoever sent them likes. Before Linux
/// 6.16 there is no such option; then [`super::Alarm`] must do.
pub fn refuse_descriptors(socket: BorrowedFd<'_>) {
    const SO_PASSRIGHTS: i32 = 83;
    let _ = write_option(socket, libc::SOL_SOCKET, SO_PASSRIGHTS, &0i32.to_ne_bytes());
}

/// Receives one message, and the descriptor that came with it, close-on-exec. Never blocks.
///
/// # Errors
/// Those of `recvmsg(2)`; `WouldBlock` when there is nothing.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [io::IoSliceMut::new(bytes)],
        &mut control,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptor = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            descriptor = fds.last().or(descriptor);
        }
    }
    Ok((received.bytes, descriptor))
}
