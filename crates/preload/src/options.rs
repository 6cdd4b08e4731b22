//! Socket options of a channel: what the program asks of its listener, the real one answers.

use wire::{Address, Outcome, Verb};

use crate::arch::nr;
use crate::kernel::{self, AF_UNIX, SOCK_STREAM, SOL_SOCKET};
use crate::table::{self, Kind, Slot};
use crate::{door, host, listener};

/// The longest value that is passed on; a listener's options are numbers and small structures.
const LONGEST: u32 = 16;

/// `setsockopt`.
///
/// # Safety
/// `value` and `len` as `setsockopt` wants them.
pub(crate) unsafe fn setsockopt(
    fd: i32,
    level: i32,
    option: i32,
    value: *const u8,
    len: u32,
) -> isize {
    if !value.is_null() && len <= LONGEST && channel(fd).is_some() {
        // SAFETY: the caller's promise, and not null.
        let bytes = unsafe { core::slice::from_raw_parts(value, len as usize) };
        if let Some(bytes) = Address::new(bytes)
            && let Some((outcome, _)) = forward(Verb::SetOption, fd, level, option, bytes)
        {
            match outcome {
                Outcome::Done => return 0,
                Outcome::Failed(errno) => return -(errno as isize),
                _ => {}
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        kernel::call(
            nr::SETSOCKOPT,
            [
                fd as usize,
                level as usize,
                option as usize,
                value as usize,
                len as usize,
                0,
            ],
        )
    }
}

/// `getsockopt`.
///
/// # Safety
/// `value` and `len` as `getsockopt` wants them.
pub(crate) unsafe fn getsockopt(
    fd: i32,
    level: i32,
    option: i32,
    value: *mut u8,
    len: *mut u32,
) -> isize {
    if !value.is_null()
        && !len.is_null()
        && let Some(slot) = channel(fd)
        && let Some(answer) = answer(slot, fd, level, option)
    {
        let answer = match &answer {
            Ok(answer) => answer.as_bytes(),
            Err(errno) => return -(*errno as isize),
        };
        // SAFETY: `len` tells how many bytes `value` has room for; no more are written, and what
        // was written is told.
        unsafe {
            let room = (*len as usize).min(answer.len());
            for (at, byte) in answer.iter().take(room).enumerate() {
                *value.add(at) = *byte;
            }
            *len = room as u32;
        }
        return 0;
    }
    // SAFETY: the caller's promise.
    unsafe {
        kernel::call(
            nr::GETSOCKOPT,
            [
                fd as usize,
                level as usize,
                option as usize,
                value as usize,
                len as usize,
                0,
            ],
        )
    }
}

/// The value of an option; `None` leaves the question to the kernel.
fn answer(slot: &Slot, fd: i32, level: i32, option: i32) -> Option<Result<Address, i32>> {
    let number = |number: i32| Some(Ok(Address::new(&number.to_ne_bytes())?));
    if level == SOL_SOCKET {
        let address = slot.address();
        let family = u16::from_ne_bytes(*address.as_bytes().first_chunk()?);
        const IPPROTO_TCP: i32 = 6;
        match option {
            kernel::SO_TYPE => return number(SOCK_STREAM),
            kernel::SO_ACCEPTCONN => return number(1),
            kernel::SO_DOMAIN => return number(i32::from(family)),
            kernel::SO_PROTOCOL if family == AF_UNIX => return number(0),
            kernel::SO_PROTOCOL => return number(IPPROTO_TCP),
            _ => {}
        }
    }
    match forward(Verb::GetOption, fd, level, option, Address::NONE)? {
        (Outcome::Done, value) => Some(Ok(value)),
        (Outcome::Failed(errno), _) => Some(Err(errno)),
        _ => None,
    }
}

fn forward(
    verb: Verb,
    fd: i32,
    level: i32,
    option: i32,
    value: Address,
) -> Option<(Outcome, Address)> {
    let mut request = host::request(verb);
    request.fd = fd;
    request.arg = level;
    request.arg2 = option;
    request.address = value;
    let (reply, stray) = door::ask(&request)?;
    if let Some(stray) = stray {
        kernel::close(stray);
    }
    Some((reply.outcome, reply.address))
}

/// The entry of a descriptor that is a channel, also of one that was inherited.
fn channel(fd: i32) -> Option<&'static Slot> {
    if host::DOOR.is_empty() {
        return None;
    }
    let Some(slot) = table::find(fd) else {
        // Only a channel is a SEQPACKET socket with such a name; most sockets end here.
        return (kernel::socket_option(fd, kernel::SO_TYPE) == Some(kernel::SOCK_SEQPACKET))
            .then(|| listener::adopt(fd))
            .flatten();
    };
    match slot.kind() {
        Kind::Claimed => None,
        Kind::Channel(_) if listener::is_channel(slot, fd) => Some(slot),
        Kind::Channel(_) => {
            slot.forget();
            None
        }
    }
}
