//! Socket options of a channel: what the program asks of its listener, the real one answers.

use wire::{Address, Outcome, Verb};

use crate::arch::nr;
use crate::kernel::{self, EOPNOTSUPP, SOCK_STREAM, SOL_SOCKET};
use crate::table::{self, Kind, Slot};
use crate::{door, heir, host, listener, memory};

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
    // SAFETY: the caller's promise.
    let natively = || unsafe {
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
    };
    let is_channel = match known(fd) {
        Known::Channel(_) => true,
        Known::No => false,
        // Called for every connection: only what the kernel refuses is looked at twice.
        Known::Nothing => {
            let result = natively();
            if result != -(EOPNOTSUPP as isize) {
                return result;
            }
            if listener::is_pair(fd) {
                // It has no packets: what an option of TCP or IP says of them holds.
                return 0;
            }
            if heir::adopt(fd).is_none() {
                return result;
            }
            true
        }
    };
    if !is_channel {
        return natively();
    }
    let mut bytes = [0; LONGEST as usize];
    let Some(bytes) = bytes.get_mut(..len as usize) else {
        return natively();
    };
    if let Err(errno) = memory::read(value, bytes) {
        return -(errno as isize);
    }
    if level == SOL_SOCKET && option == kernel::SO_RCVTIMEO {
        // It is the channel that accept waits at.
        let result = natively();
        if result != 0 {
            return result;
        }
    }
    let answer =
        Address::new(bytes).and_then(|bytes| forward(Verb::SetOption, fd, level, option, bytes));
    match answer {
        Some((Outcome::Done, _)) => 0,
        Some((Outcome::Failed(errno), _)) => -(errno as isize),
        _ => natively(),
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
    // SAFETY: the caller's promise.
    let natively = || unsafe {
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
    };
    let slot = match known(fd) {
        Known::Channel(slot) => slot,
        Known::No => return natively(),
        Known::Nothing => {
            let asks_what_it_is = level == SOL_SOCKET
                && matches!(
                    option,
                    kernel::SO_TYPE
                        | kernel::SO_DOMAIN
                        | kernel::SO_PROTOCOL
                        | kernel::SO_ACCEPTCONN
                );
            let adopted = || heir::adopt(fd);
            if asks_what_it_is && let Some(slot) = adopted() {
                slot
            } else {
                let result = natively();
                match (result == -(EOPNOTSUPP as isize)).then(adopted) {
                    Some(Some(slot)) => slot,
                    _ => return result,
                }
            }
        }
    };
    match answer(slot, fd, level, option) {
        Some(Ok(answer)) => memory::give(answer.as_bytes(), value, len, |written| written),
        Some(Err(errno)) => -(errno as isize),
        None => natively(),
    }
}

/// The value of an option; `None` leaves the question to the kernel.
fn answer(slot: &Slot, fd: i32, level: i32, option: i32) -> Option<Result<Address, i32>> {
    let number = |number: i32| Some(Ok(Address::new(&number.to_ne_bytes())?));
    if level == SOL_SOCKET {
        let address = slot.address();
        let family = u16::from_ne_bytes(*address.as_bytes().first_chunk()?);
        match option {
            kernel::SO_TYPE => return number(SOCK_STREAM),
            kernel::SO_ACCEPTCONN => return number(1),
            kernel::SO_DOMAIN => return number(i32::from(family)),
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

/// What the table tells of a descriptor.
enum Known {
    /// It is a channel.
    Channel(&'static Slot),
    /// It is something else.
    No,
    /// It is not in the table: most are connections, but it may be an inherited channel.
    Nothing,
}

fn known(fd: i32) -> Known {
    if host::DOOR.is_empty() {
        return Known::No;
    }
    let Some(slot) = table::find(fd) else {
        return Known::Nothing;
    };
    match slot.kind() {
        Kind::Claimed => Known::No,
        Kind::Channel(_) if listener::is_channel(slot, fd) => Known::Channel(slot),
        Kind::Channel(_) => {
            slot.forget();
            Known::No
        }
    }
}
