//! The libc symbols that the library takes over: each one line over a body elsewhere.

use crate::arch::nr;
use crate::host::libc_result;
use crate::{accept as accepting, listener, options, removal};

/// `accept(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn accept(fd: i32, address: *mut u8, len: *mut u32) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { accepting::accept4(fd, address, len, 0) }) as i32
}

/// `accept4(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn accept4(fd: i32, address: *mut u8, len: *mut u32, flags: i32) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { accepting::accept4(fd, address, len, flags) }) as i32
}

/// `bind(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn bind(fd: i32, address: *const u8, len: u32) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { listener::bind(fd, address, len) }) as i32
}

/// `listen(2)`.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub extern "C" fn listen(fd: i32, backlog: i32) -> i32 {
    libc_result(listener::listen(fd, backlog)) as i32
}

/// `getsockname(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn getsockname(fd: i32, address: *mut u8, len: *mut u32) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { listener::getsockname(fd, address, len) }) as i32
}

/// `getpeername(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn getpeername(fd: i32, address: *mut u8, len: *mut u32) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { listener::getpeername(fd, address, len) }) as i32
}

/// `setsockopt(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn setsockopt(
    fd: i32,
    level: i32,
    option: i32,
    value: *const u8,
    len: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { options::setsockopt(fd, level, option, value, len) }) as i32
}

/// `getsockopt(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn getsockopt(
    fd: i32,
    level: i32,
    option: i32,
    value: *mut u8,
    len: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { options::getsockopt(fd, level, option, value, len) }) as i32
}

/// `close(2)`.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub extern "C" fn close(fd: i32) -> i32 {
    libc_result(listener::close(fd)) as i32
}

/// `unlink(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn unlink(path: *const u8) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { removal::unlink(path) }) as i32
}

/// `unlinkat(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn unlinkat(directory: i32, path: *const u8, flags: i32) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { removal::unlinkat(directory, path, flags) }) as i32
}

/// `remove(3)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn remove(path: *const u8) -> i32 {
    // SAFETY: the caller's promise.
    libc_result(unsafe { removal::remove(path) }) as i32
}

/// The calls that are taken over when they are made by `syscall(2)`.
pub(crate) const OURS: [usize; 11] = [
    nr::ACCEPT,
    nr::ACCEPT4,
    nr::BIND,
    nr::CLOSE,
    nr::GETPEERNAME,
    nr::GETSOCKNAME,
    nr::GETSOCKOPT,
    nr::LISTEN,
    nr::SETSOCKOPT,
    nr::UNLINK,
    nr::UNLINKAT,
];

/// `syscall(2)` of one of [`OURS`]: libuv closes so, and other programs accept so.
///
/// # Safety
/// The arguments must be what the call numbered `n` expects.
pub(crate) unsafe extern "C" fn syscall_ours(
    n: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
) -> isize {
    let fd = a as i32;
    // SAFETY: the caller's promise.
    libc_result(unsafe {
        match n {
            nr::ACCEPT => accepting::accept4(fd, b as *mut u8, c as *mut u32, 0),
            nr::ACCEPT4 => accepting::accept4(fd, b as *mut u8, c as *mut u32, d as i32),
            nr::BIND => listener::bind(fd, b as *const u8, c as u32),
            nr::LISTEN => listener::listen(fd, b as i32),
            nr::GETSOCKNAME => listener::getsockname(fd, b as *mut u8, c as *mut u32),
            nr::GETPEERNAME => listener::getpeername(fd, b as *mut u8, c as *mut u32),
            nr::SETSOCKOPT => options::setsockopt(fd, b as i32, c as i32, d as *const u8, e as u32),
            nr::UNLINK => removal::unlink(a as *const u8),
            nr::UNLINKAT => removal::unlinkat(fd, b as *const u8, c as i32),
            nr::GETSOCKOPT => {
                options::getsockopt(fd, b as i32, c as i32, d as *mut u8, e as *mut u32)
            }
            _ => listener::close(fd),
        }
    })
}

/// The end of a plain `syscall(2)` that failed.
pub(crate) extern "C" fn syscall_failed(result: isize) -> isize {
    libc_result(result)
}
