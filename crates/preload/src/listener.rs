//! The life of a listening socket: bind, listen, its name, close.

use wire::{Address, CHANNEL_NAME_LEN, Outcome, Request, Verb, channel_id};

use crate::epoll::Registrations;
use crate::kernel::{self, AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM};
use crate::table::{self, Kind, Slot};
use crate::{arch::nr, door, host};

/// `bind`: an address that other workers may share is asked for at the door.
///
/// # Safety
/// `address` must point to `len` readable bytes, or be what `bind` answers EFAULT to.
pub(crate) unsafe fn bind(fd: i32, address: *const u8, len: u32) -> isize {
    forget(fd);
    if !host::DOOR.is_empty() && !address.is_null() && (3..=110).contains(&len) {
        // SAFETY: the caller's promise, and not null.
        let bytes = unsafe { core::slice::from_raw_parts(address, len as usize) };
        if is_fixed(bytes)
            && is_stream(fd)
            && let Some(result) = ask_to_bind(fd, bytes)
        {
            return result;
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        kernel::call(
            nr::BIND,
            [fd as usize, address as usize, len as usize, 0, 0, 0],
        )
    }
}

fn ask_to_bind(fd: i32, bytes: &[u8]) -> Option<isize> {
    let mut request = host::request(Verb::Bind);
    request.fd = fd;
    request.address = Address::new(bytes)?;
    match answer(&request)? {
        (Outcome::Done, ..) => Some(0),
        (Outcome::Failed(errno), ..) => Some(-(errno as isize)),
        (Outcome::Shared, _, address) => {
            // Without room in the table the plain call tells the truth.
            table::remember(fd, Kind::Claimed, &address).then_some(0)
        }
        (Outcome::Native | Outcome::Channel, ..) => None,
    }
}

/// `listen`: where the door gives a channel, it takes the place of the listener.
pub(crate) fn listen(fd: i32, backlog: i32) -> isize {
    if host::DOOR.is_empty() {
        return kernel::listen(fd, backlog);
    }
    let claimed = match table::find(fd) {
        Some(slot) => match slot.kind() {
            Kind::Channel(_) if is_channel(slot, fd) => return 0,
            Kind::Channel(_) => {
                slot.forget();
                Address::NONE
            }
            Kind::Claimed => slot.address(),
        },
        None => Address::NONE,
    };
    if !is_stream(fd) {
        return kernel::listen(fd, backlog);
    }
    let mut request = host::request(Verb::Listen);
    request.fd = fd;
    request.arg = backlog;
    request.address = claimed;
    let Some((reply, channel)) = door::ask(&request) else {
        return kernel::listen(fd, backlog);
    };
    match (reply.outcome, channel) {
        (Outcome::Channel, Some(channel)) => {
            let installed = install(fd, channel, reply.channel, &reply.address);
            kernel::close(channel);
            installed
        }
        (Outcome::Channel, None) => {
            say_closed(reply.channel);
            -(kernel::EMFILE as isize)
        }
        (outcome, stray) => {
            if let Some(stray) = stray {
                kernel::close(stray);
            }
            match outcome {
                Outcome::Done => 0,
                Outcome::Failed(errno) => -(errno as isize),
                _ => kernel::listen(fd, backlog),
            }
        }
    }
}

/// Puts the channel in the listener's place: same number, same flags, and known to the same
/// epolls.
fn install(fd: i32, channel: i32, id: u64, address: &Address) -> isize {
    let status = kernel::fcntl(fd, kernel::F_GETFL, 0);
    if status >= 0 {
        kernel::fcntl(channel, kernel::F_SETFL, status as i32 & kernel::O_NONBLOCK);
    }
    let cloexec = kernel::fcntl(fd, kernel::F_GETFD, 0) & kernel::FD_CLOEXEC as isize != 0;
    let registrations = Registrations::take(fd);
    // Known before it is in place: the first call on it must find it.
    if !table::remember(fd, Kind::Channel(id), address) {
        registrations.put_back(fd);
        say_closed(id);
        return -(kernel::EMFILE as isize);
    }
    let replaced = kernel::dup3(channel, fd, if cloexec { kernel::O_CLOEXEC } else { 0 });
    registrations.put_back(fd);
    if replaced < 0 {
        forget(fd);
        say_closed(id);
        return replaced;
    }
    0
}

/// `getsockname`: the listener's address, where a channel or a pretence stands for it.
///
/// # Safety
/// `address` and `len` as `getsockname` wants them.
pub(crate) unsafe fn getsockname(fd: i32, address: *mut u8, len: *mut u32) -> isize {
    // SAFETY: `len` is the caller's; it is read before the kernel changes it.
    let room = if len.is_null() { 0 } else { unsafe { *len } };
    // SAFETY: the caller's promise.
    let result = unsafe {
        kernel::call(
            nr::GETSOCKNAME,
            [fd as usize, address as usize, len as usize, 0, 0, 0],
        )
    };
    if result != 0 || address.is_null() || host::DOOR.is_empty() {
        return result;
    }
    let slot = match table::find(fd) {
        Some(slot) => Some(slot),
        // A channel has a long name of a family that few listeners have: ask no further else.
        // SAFETY: the call has succeeded, so it wrote the length.
        None if unsafe { *len } as usize == CHANNEL_NAME_LEN => adopt(fd),
        None => None,
    };
    let Some(name) = slot.and_then(|slot| pretended(slot, fd)) else {
        return result;
    };
    let name = name.as_bytes();
    // SAFETY: the caller gave room for `room` bytes; as the kernel does, no more are written,
    // and the whole length is told.
    unsafe {
        for (at, byte) in name.iter().take(room as usize).enumerate() {
            *address.add(at) = *byte;
        }
        *len = name.len() as u32;
    }
    result
}

/// The address to show for this descriptor, if its entry is still true.
fn pretended(slot: &Slot, fd: i32) -> Option<Address> {
    let mut bytes = [0; 112];
    let len = kernel::getsockname(fd, &mut bytes).ok()?;
    let name = bytes.get(..len)?;
    let holds = match slot.kind() {
        Kind::Channel(id) => channel_id(name) == Some(id),
        Kind::Claimed => !is_fixed(name),
    };
    if !holds {
        slot.forget();
        return None;
    }
    Some(slot.address())
}

/// `close`: the door hears of a listener's end.
pub(crate) fn close(fd: i32) -> isize {
    if let Some(slot) = table::find(fd) {
        if let Kind::Channel(id) = slot.kind()
            && is_channel(slot, fd)
        {
            say_closed(id);
        }
        slot.forget();
    }
    kernel::close(fd)
}

fn say_closed(channel: u64) {
    let mut request = host::request(Verb::Close);
    request.channel = channel;
    door::tell(&request);
}

/// Whether the entry is still true, by the channel's name.
pub(crate) fn is_channel(slot: &Slot, fd: i32) -> bool {
    match (slot.kind(), id_of(fd)) {
        (Kind::Channel(known), Some(id)) => known == id,
        _ => false,
    }
}

/// Recognises a channel that this process did not ask for: it came over `exec`, `dup` or another
/// socket.
pub(crate) fn adopt(fd: i32) -> Option<&'static Slot> {
    if host::DOOR.is_empty() {
        return None;
    }
    let id = id_of(fd)?;
    let mut request = host::request(Verb::Adopt);
    request.fd = fd;
    match answer(&request)? {
        (Outcome::Channel, _, address) => table::remember(fd, Kind::Channel(id), &address)
            .then(|| table::find(fd))
            .flatten(),
        _ => None,
    }
}

/// The channel's number, if this descriptor is one.
fn id_of(fd: i32) -> Option<u64> {
    let mut bytes = [0; 112];
    let len = kernel::getsockname(fd, &mut bytes).ok()?;
    channel_id(bytes.get(..len)?)
}

fn forget(fd: i32) {
    if let Some(slot) = table::find(fd) {
        slot.forget();
    }
}

/// Asks, where no descriptor is expected to come back.
fn answer(request: &Request) -> Option<(Outcome, u64, Address)> {
    let (reply, stray) = door::ask(request)?;
    if let Some(stray) = stray {
        kernel::close(stray);
    }
    Some((reply.outcome, reply.channel, reply.address))
}

fn is_stream(fd: i32) -> bool {
    kernel::socket_option(fd, kernel::SO_TYPE) == Some(SOCK_STREAM)
}

/// Whether a `sockaddr` names a place that others could want too: a port, or the name of a Unix
/// socket.
fn is_fixed(sockaddr: &[u8]) -> bool {
    match family(sockaddr) {
        Some(AF_INET | AF_INET6) => {
            matches!(sockaddr.get(2..4), Some(port) if port != [0, 0])
        }
        Some(AF_UNIX) => sockaddr.len() > 2,
        _ => false,
    }
}

fn family(sockaddr: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*sockaddr.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_named_place_can_be_shared() {
        assert!(is_fixed(&[2, 0, 0x1f, 0x90, 0, 0, 0, 0]));
        assert!(!is_fixed(&[2, 0, 0, 0, 0, 0, 0, 0]));
        assert!(!is_fixed(&[10, 0, 0, 0]));
        assert!(is_fixed(b"\x01\0/tmp/x\0"));
        assert!(!is_fixed(&[1, 0]));
        assert!(!is_fixed(&[]));
    }

    #[test]
    fn a_descriptor_that_was_reused_is_not_taken_for_a_channel() {
        use std::os::fd::AsRawFd;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = socket.as_raw_fd();
        assert!(table::remember(fd, Kind::Channel(1), &Address::NONE));
        let slot = table::find(fd).unwrap();
        assert!(!is_channel(slot, fd));
        assert_eq!(pretended(slot, fd), None);
        assert!(table::find(fd).is_none());
    }
}
