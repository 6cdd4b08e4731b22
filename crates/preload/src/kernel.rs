//! The system calls that the library makes, by name. A failure is the negated error number.

use crate::arch::{nr, syscall6};

pub(crate) const AF_UNIX: u16 = 1;
pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
pub(crate) const SOCK_STREAM: i32 = 1;
pub(crate) const SOCK_DGRAM: i32 = 2;
pub(crate) const SOCK_SEQPACKET: i32 = 5;
pub(crate) const SOCK_NONBLOCK: i32 = 0o4000;
pub(crate) const SOCK_CLOEXEC: i32 = 0o2000000;
pub(crate) const SOL_SOCKET: i32 = 1;
pub(crate) const SCM_RIGHTS: i32 = 1;
pub(crate) const SO_TYPE: i32 = 3;
pub(crate) const SO_RCVTIMEO: i32 = 20;
pub(crate) const SO_SNDTIMEO: i32 = 21;
pub(crate) const SO_ACCEPTCONN: i32 = 30;
pub(crate) const SO_PROTOCOL: i32 = 38;
pub(crate) const SO_DOMAIN: i32 = 39;
pub(crate) const SO_COOKIE: i32 = 57;
pub(crate) const MSG_PEEK: i32 = 2;
pub(crate) const MSG_CTRUNC: i32 = 8;
pub(crate) const MSG_DONTWAIT: i32 = 0x40;
pub(crate) const MSG_WAITALL: i32 = 0x100;
pub(crate) const MSG_NOSIGNAL: i32 = 0x4000;
pub(crate) const MSG_MORE: i32 = 0x8000;
pub(crate) const MSG_CMSG_CLOEXEC: i32 = 0x4000_0000;
pub(crate) const O_NONBLOCK: i32 = 0o4000;
pub(crate) const O_CLOEXEC: i32 = 0o2000000;
pub(crate) const O_DIRECTORY: i32 = 0o200000;
pub(crate) const F_DUPFD: i32 = 0;
pub(crate) const F_GETFD: i32 = 1;
pub(crate) const F_SETFD: i32 = 2;
pub(crate) const F_GETFL: i32 = 3;
pub(crate) const F_SETFL: i32 = 4;
pub(crate) const F_DUPFD_CLOEXEC: i32 = 1030;
pub(crate) const FD_CLOEXEC: i32 = 1;
pub(crate) const EINTR: i32 = 4;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const EBUSY: i32 = 16;
pub(crate) const EEXIST: i32 = 17;
pub(crate) const EFAULT: i32 = 14;
pub(crate) const EISDIR: i32 = 21;
pub(crate) const ENOENT: i32 = 2;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const EMFILE: i32 = 24;
pub(crate) const EOPNOTSUPP: i32 = 95;
pub(crate) const EADDRINUSE: i32 = 98;
pub(crate) const ECONNRESET: i32 = 104;
pub(crate) const ENOTCONN: i32 = 107;

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

/// Makes the call numbered `n`.
///
/// # Safety
/// The arguments must be what that call expects.
pub(crate) unsafe fn call(n: usize, args: [usize; 6]) -> isize {
    // SAFETY: the caller's promise.
    unsafe { syscall6(n, args) }
}

/// A call whose arguments are numbers and cannot harm memory.
fn numbers(n: usize, a: usize, b: usize, c: usize) -> isize {
    // SAFETY: used below only for calls that take no pointers.
    unsafe { call(n, [a, b, c, 0, 0, 0]) }
}

pub(crate) fn socket(domain: u16, kind: i32) -> isize {
    numbers(nr::SOCKET, usize::from(domain), kind as usize, 0)
}

/// Two Unix sockets that are connected to each other.
pub(crate) fn socket_pair(kind: i32) -> Result<[i32; 2], i32> {
    let mut sockets = [-1; 2];
    // SAFETY: the kernel writes two numbers.
    let made = unsafe {
        call(
            nr::SOCKETPAIR,
            [
                usize::from(AF_UNIX),
                kind as usize,
                0,
                sockets.as_mut_ptr() as usize,
                0,
                0,
            ],
        )
    };
    if made < 0 {
        Err(-made as i32)
    } else {
        Ok(sockets)
    }
}

pub(crate) fn close(fd: i32) -> isize {
    numbers(nr::CLOSE, fd as usize, 0, 0)
}

pub(crate) fn listen(fd: i32, backlog: i32) -> isize {
    numbers(nr::LISTEN, fd as usize, backlog as usize, 0)
}

pub(crate) fn fcntl(fd: i32, command: i32, argument: i32) -> isize {
    numbers(nr::FCNTL, fd as usize, command as usize, argument as usize)
}

pub(crate) fn dup3(from: i32, to: i32, flags: i32) -> isize {
    numbers(nr::DUP3, from as usize, to as usize, flags as usize)
}

pub(crate) fn yield_now() {
    numbers(nr::SCHED_YIELD, 0, 0, 0);
}

pub(crate) fn getpid() -> i32 {
    numbers(nr::GETPID, 0, 0, 0) as i32
}

pub(crate) fn gettid() -> i32 {
    numbers(nr::GETTID, 0, 0, 0) as i32
}

pub(crate) fn getppid() -> i32 {
    numbers(nr::GETPPID, 0, 0, 0) as i32
}

#[cfg(feature = "library")]
pub(crate) fn exit_group(code: i32) -> ! {
    loop {
        numbers(nr::EXIT_GROUP, code as usize, 0, 0);
    }
}

/// Binds a socket; `address` is a whole `sockaddr`.
pub(crate) fn bind(fd: i32, address: &[u8]) -> isize {
    // SAFETY: the kernel reads `len` bytes at the pointer.
    unsafe {
        call(
            nr::BIND,
            [
                fd as usize,
                address.as_ptr() as usize,
                address.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Connects to a Unix socket; `address` is a whole `sockaddr_un`.
pub(crate) fn connect(fd: i32, address: &[u8]) -> isize {
    loop {
        // SAFETY: the kernel reads `len` bytes at the pointer.
        let connected = unsafe {
            call(
                nr::CONNECT,
                [
                    fd as usize,
                    address.as_ptr() as usize,
                    address.len(),
                    0,
                    0,
                    0,
                ],
            )
        };
        if connected != -(EINTR as isize) {
            return connected;
        }
    }
}

/// The socket's own name, into `bytes`; its length.
pub(crate) fn getsockname(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    name(nr::GETSOCKNAME, fd, bytes)
}

/// The peer's address; how many bytes it has.
pub(crate) fn getpeername(fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    name(nr::GETPEERNAME, fd, bytes)
}

fn name(number: usize, fd: i32, bytes: &mut [u8]) -> Result<usize, i32> {
    let mut len = bytes.len() as u32;
    // SAFETY: the kernel writes at most `len` bytes, and the length.
    let result = unsafe {
        call(
            number,
            [
                fd as usize,
                bytes.as_mut_ptr() as usize,
                (&raw mut len) as usize,
                0,
                0,
                0,
            ],
        )
    };
    if result < 0 {
        Err(-result as i32)
    } else {
        Ok((len as usize).min(bytes.len()))
    }
}

/// An option of [`SOL_SOCKET`] that is a number.
pub(crate) fn socket_option(fd: i32, option: i32) -> Option<i32> {
    let mut value = [0; 4];
    read_option(fd, option, &mut value).then(|| i32::from_ne_bytes(value))
}

/// The number by which the kernel knows this socket, and never another one.
pub(crate) fn socket_cookie(fd: i32) -> Option<u64> {
    let mut value = [0; 8];
    read_option(fd, SO_COOKIE, &mut value).then(|| u64::from_ne_bytes(value))
}

/// Reads an option of [`SOL_SOCKET`]; whether there is one of this size.
fn read_option(fd: i32, option: i32, value: &mut [u8]) -> bool {
    let mut len = value.len() as u32;
    // SAFETY: the kernel writes at most `len` bytes to `value`, and the length.
    let result = unsafe {
        call(
            nr::GETSOCKOPT,
            [
                fd as usize,
                SOL_SOCKET as usize,
                option as usize,
                value.as_mut_ptr() as usize,
                (&raw mut len) as usize,
                0,
            ],
        )
    };
    result == 0 && len as usize == value.len()
}

/// How long a call on a socket may wait: the bytes of a `struct timeval`.
pub(crate) type Timeout = [u8; 16];

/// So many seconds.
pub(crate) const fn seconds(seconds: u8) -> Timeout {
    let mut timeout = [0; 16];
    timeout[if cfg!(target_endian = "big") { 7 } else { 0 }] = seconds;
    timeout
}

/// Bounds how long a call on this socket waits: `recvmsg` for [`SO_RCVTIMEO`], `connect` and
/// `sendmsg` for [`SO_SNDTIMEO`].
pub(crate) fn set_timeout(fd: i32, option: i32, timeout: &Timeout) {
    // SAFETY: the kernel reads a `struct timeval`: two 64-bit numbers, seconds and microseconds.
    unsafe {
        call(
            nr::SETSOCKOPT,
            [
                fd as usize,
                SOL_SOCKET as usize,
                option as usize,
                timeout.as_ptr() as usize,
                size_of_val(timeout),
                0,
            ],
        );
    }
}

/// How long `recvmsg` on this socket may wait; zeros mean for ever.
pub(crate) fn receive_timeout(fd: i32) -> Timeout {
    let mut timeout = seconds(0);
    if read_option(fd, SO_RCVTIMEO, &mut timeout) {
        timeout
    } else {
        seconds(0)
    }
}

/// The soft limit of open descriptors.
pub(crate) fn descriptor_limit() -> u64 {
    const RLIMIT_NOFILE: usize = 7;
    let mut limit = [0u64; 2];
    // SAFETY: the kernel writes a `struct rlimit64`, two 64-bit numbers.
    let result = unsafe {
        call(
            nr::PRLIMIT64,
            [0, RLIMIT_NOFILE, 0, limit.as_mut_ptr() as usize, 0, 0],
        )
    };
    if result == 0 { limit[0] } else { 0 }
}

/// A page that the kernel fills with zeros in a child that is forked. `None` where it does not.
pub(crate) fn page_wiped_on_fork() -> Option<*mut u8> {
    const PAGE: usize = 4096;
    const PROT_READ_WRITE: usize = 3;
    const MAP_PRIVATE_ANONYMOUS: usize = 0x22;
    const MADV_WIPEONFORK: usize = 18;
    // SAFETY: a new mapping, at an address that the kernel chooses, touches no memory in use.
    let page = unsafe {
        call(
            nr::MMAP,
            [
                0,
                PAGE,
                PROT_READ_WRITE,
                MAP_PRIVATE_ANONYMOUS,
                usize::MAX,
                0,
            ],
        )
    };
    if (-4095..=0).contains(&page) {
        return None;
    }
    // SAFETY: the advice concerns the page that was just mapped, and nobody else knows.
    let advised = unsafe { call(nr::MADVISE, [page as usize, PAGE, MADV_WIPEONFORK, 0, 0, 0]) };
    (advised == 0).then_some(page as *mut u8)
}

/// `struct epoll_event`; packed on x86-64.
#[derive(Clone, Copy)]
#[cfg_attr(target_arch = "x86_64", repr(C, packed))]
#[cfg_attr(not(target_arch = "x86_64"), repr(C))]
pub(crate) struct EpollEvent {
    pub(crate) events: u32,
    pub(crate) data: u64,
}

pub(crate) const EPOLL_CTL_ADD: i32 = 1;
pub(crate) const EPOLL_CTL_DEL: i32 = 2;

pub(crate) fn epoll_ctl(epoll: i32, operation: i32, fd: i32, event: &EpollEvent) -> isize {
    // SAFETY: the kernel reads one `struct epoll_event`.
    unsafe {
        call(
            nr::EPOLL_CTL,
            [
                epoll as usize,
                operation as usize,
                fd as usize,
                (event as *const EpollEvent) as usize,
                0,
                0,
            ],
        )
    }
}

/// Opens a file for reading; `path` ends with a zero byte. A relative path starts at `directory`.
pub(crate) fn open(directory: i32, path: &[u8], flags: i32) -> isize {
    if path.last() != Some(&0) {
        return -(EINVAL as isize);
    }
    // SAFETY: the path ends with a zero byte, checked above.
    unsafe {
        call(
            nr::OPENAT,
            [
                directory as usize,
                path.as_ptr() as usize,
                (flags | O_CLOEXEC) as usize,
                0,
                0,
                0,
            ],
        )
    }
}

pub(crate) fn read(fd: i32, bytes: &mut [u8]) -> isize {
    // SAFETY: the kernel writes at most `len` bytes at the pointer.
    unsafe {
        call(
            nr::READ,
            [
                fd as usize,
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Reads entries of a directory (`struct linux_dirent64`).
pub(crate) fn getdents(fd: i32, bytes: &mut [u8]) -> isize {
    // SAFETY: the kernel writes at most `len` bytes at the pointer.
    unsafe {
        call(
            nr::GETDENTS64,
            [
                fd as usize,
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                0,
                0,
                0,
            ],
        )
    }
}

/// Reads a symbolic link; `name` ends with a zero byte.
pub(crate) fn readlink(directory: i32, name: &[u8], bytes: &mut [u8]) -> isize {
    if name.last() != Some(&0) {
        return -(EINVAL as isize);
    }
    // SAFETY: the name ends with a zero byte, checked above; the kernel writes at most `len`
    // bytes.
    unsafe {
        call(
            nr::READLINKAT,
            [
                directory as usize,
                name.as_ptr() as usize,
                bytes.as_mut_ptr() as usize,
                bytes.len(),
                0,
                0,
            ],
        )
    }
}
