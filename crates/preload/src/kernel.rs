//! The system calls that the library makes, by name. A failure is the negated error number.

mod files;
mod messages;
mod sockets;

use crate::arch::{nr, syscall6};
pub(crate) use files::{getdents, open, read, readlink};
pub(crate) use messages::*;
pub(crate) use sockets::*;

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

/// Makes the call numbered `n`.
///
/// # Safety
/// The arguments must be what that call expects.
#[inline]
pub(crate) unsafe fn call(n: usize, args: [usize; 6]) -> isize {
    // SAFETY: the caller's promise.
    unsafe { syscall6(n, args) }
}

/// A call whose arguments are numbers and cannot harm memory.
fn numbers(n: usize, a: usize, b: usize, c: usize) -> isize {
    // SAFETY: used below only for calls that take no pointers.
    unsafe { call(n, [a, b, c, 0, 0, 0]) }
}

pub(crate) fn close(fd: i32) -> isize {
    numbers(nr::CLOSE, fd as usize, 0, 0)
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
