//! The libc symbols for reading and writing that the library takes over.

use super::*;

/// `read(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn read(fd: i32, buffer: *mut u8, len: usize) -> isize {
    let (a, b) = (fd as usize, buffer as usize);
    // SAFETY: the caller's promise.
    unsafe {
        match traffic::find(fd) {
            Some(entry) => read_one(fd, buffer, len, 0, entry, nr::READ),
            None => natively(arch::libc_read(), nr::READ, a, b, len, 0),
        }
    }
}

/// `readv(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn readv(fd: i32, vectors: *const u8, count: i32) -> isize {
    let arguments = [fd as usize, vectors as usize, count as usize, 0, 0, 0];
    let buffers = Buffers::Several(vectors.cast(), count.max(0) as usize);
    // SAFETY: the caller's promise.
    unsafe { read_into(nr::READV, arguments, buffers, 0) }
}

/// `recv(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn recv(fd: i32, buffer: *mut u8, len: usize, flags: i32) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        match traffic::find(fd) {
            Some(entry) => read_one(fd, buffer, len, flags, entry, nr::RECVFROM),
            None => receive_unfollowed(fd, buffer, len, flags),
        }
    }
}

/// `recvfrom(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn recvfrom(
    fd: i32,
    buffer: *mut u8,
    len: usize,
    flags: i32,
    address: *mut u8,
    address_len: *mut u32,
) -> isize {
    let (address, address_len) = (address as usize, address_len as usize);
    let arguments = [
        fd as usize,
        buffer as usize,
        len,
        flags as usize,
        address,
        address_len,
    ];
    // SAFETY: the caller's promise.
    unsafe { read_into(nr::RECVFROM, arguments, Buffers::One(buffer), flags) }
}

/// `write(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn write(fd: i32, buffer: *const u8, len: usize) -> isize {
    let (a, b) = (fd as usize, buffer as usize);
    // SAFETY: the caller's promise.
    unsafe {
        match traffic::find(fd) {
            Some(entry) => write_one(fd, buffer, len, 0, entry, nr::WRITE),
            None => natively(arch::libc_write(), nr::WRITE, a, b, len, 0),
        }
    }
}

/// `writev(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn writev(fd: i32, vectors: *const u8, count: i32) -> isize {
    let arguments = [fd as usize, vectors as usize, count as usize, 0, 0, 0];
    let buffers = Buffers::Several(vectors.cast(), count.max(0) as usize);
    // SAFETY: the caller's promise.
    unsafe { write_from(nr::WRITEV, arguments, buffers, 0) }
}

/// `send(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn send(fd: i32, buffer: *const u8, len: usize, flags: i32) -> isize {
    let (a, b, d) = (fd as usize, buffer as usize, flags as usize);
    // SAFETY: the caller's promise.
    unsafe {
        match traffic::find(fd) {
            Some(entry) => write_one(fd, buffer, len, flags, entry, nr::SENDTO),
            None => natively(arch::libc_send(), nr::SENDTO, a, b, len, d),
        }
    }
}

/// `sendto(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn sendto(
    fd: i32,
    buffer: *const u8,
    len: usize,
    flags: i32,
    address: *const u8,
    address_len: u32,
) -> isize {
    let (address, address_len) = (address as usize, address_len as usize);
    let arguments = [
        fd as usize,
        buffer as usize,
        len,
        flags as usize,
        address,
        address_len,
    ];
    // SAFETY: the caller's promise.
    unsafe { write_from(nr::SENDTO, arguments, Buffers::One(buffer), flags) }
}

/// `sendmsg(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn sendmsg(fd: i32, message: *const u8, flags: i32) -> isize {
    // SAFETY: the caller's promise.
    unsafe { send_message(fd, message.cast(), flags) }
}

/// `sendfile(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn sendfile(to: i32, from: i32, offset: *mut i64, count: usize) -> isize {
    let arguments = [to as usize, from as usize, offset as usize, count, 0, 0];
    traffic::spoil(from);
    // SAFETY: the caller's promise.
    unsafe { write_unseen(nr::SENDFILE, arguments, to) }
}

/// `sendfile64`, which is the same.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn sendfile64(to: i32, from: i32, offset: *mut i64, count: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe { sendfile(to, from, offset, count) }
}

/// `splice(2)`.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn splice(
    from: i32,
    from_offset: *mut i64,
    to: i32,
    to_offset: *mut i64,
    len: usize,
    flags: u32,
) -> isize {
    let (from_offset, to_offset) = (from_offset as usize, to_offset as usize);
    let arguments = [
        from as usize,
        from_offset,
        to as usize,
        to_offset,
        len,
        flags as usize,
    ];
    traffic::spoil(from);
    // SAFETY: the caller's promise.
    unsafe { write_unseen(nr::SPLICE, arguments, to) }
}

/// `shutdown(2)`.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub extern "C" fn shutdown(fd: i32, how: i32) -> i32 {
    if park::instead_of_shutdown(fd, how) {
        return 0;
    }
    traffic::spoil(fd);
    // SAFETY: takes no pointers.
    libc_result(unsafe { kernel::call(nr::SHUTDOWN, [fd as usize, how as usize, 0, 0, 0, 0]) })
        as i32
}

/// `dup(2)`.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub extern "C" fn dup(fd: i32) -> i32 {
    traffic::spoil(fd);
    // SAFETY: takes no pointers.
    libc_result(unsafe { kernel::call(nr::DUP, [fd as usize, 0, 0, 0, 0, 0]) }) as i32
}

/// `dup2(2)`.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub extern "C" fn dup2(from: i32, to: i32) -> i32 {
    traffic::spoil(from);
    traffic::spoil(to);
    // SAFETY: takes no pointers.
    libc_result(unsafe { kernel::call(nr::DUP2, [from as usize, to as usize, 0, 0, 0, 0]) }) as i32
}

/// `dup3(2)`.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub extern "C" fn dup3(from: i32, to: i32, flags: i32) -> i32 {
    traffic::spoil(from);
    traffic::spoil(to);
    libc_result(kernel::dup3(from, to, flags)) as i32
}

/// `fcntl(2)`: variadic in C, but the argument is passed as to any function.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn fcntl(fd: i32, command: i32, argument: usize) -> i32 {
    if command == kernel::F_DUPFD || command == kernel::F_DUPFD_CLOEXEC {
        traffic::spoil(fd);
    }
    let (fd, command) = (fd as usize, command as usize);
    // SAFETY: the caller's promise.
    unsafe { natively(arch::libc_fcntl(), nr::FCNTL, fd, command, argument, 0) as i32 }
}

/// `fcntl64`, which is the same.
///
/// # Safety
/// As the function of libc.
#[cfg_attr(feature = "library", unsafe(no_mangle))]
pub unsafe extern "C" fn fcntl64(fd: i32, command: i32, argument: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { fcntl(fd, command, argument) }
}
