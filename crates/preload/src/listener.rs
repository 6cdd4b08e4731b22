//! The life of a listening socket: bind, listen, its name, close.

use core::sync::atomic::Ordering::Relaxed;

use wire::{
    Address, CHANNEL_NAME_LEN, Outcome, PAIR_NAME_LEN, Request, Verb, channel_id, pair_address,
};

use crate::epoll::Registrations;
use crate::heir::{self, adopt};
use crate::kernel::{self, AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM};
use crate::table::{self, Kind, Slot};
use crate::{arch::nr, datagrams, door, host, memory, park, traffic};

/// `bind`: an address that other workers may share is asked for at the door.
///
/// # Safety
/// `address` must point to `len` readable bytes, or be what `bind` answers EFAULT to.
pub(crate) unsafe fn bind(fd: i32, address: *const u8, len: u32) -> isize {
    forget(fd);
    let mut room = [0; 110];
    let mut bytes: &[u8] = &[];
    if !host::DOOR.is_empty()
        && len >= 3
        && let Some(room) = room.get_mut(..len as usize)
        // What cannot be read is left to the kernel, which says so.
        && memory::read(address, room).is_ok()
    {
        bytes = room;
    }
    if is_fixed(bytes)
        && is_stream(fd)
        && let Some(result) = ask_to_bind(fd, bytes)
    {
        return result;
    }
    // SAFETY: the caller's promise.
    let result = unsafe {
        kernel::call(
            nr::BIND,
            [fd as usize, address as usize, len as usize, 0, 0, 0],
        )
    };
    if result == -(kernel::EADDRINUSE as isize) && datagrams::share(fd, bytes) {
        return 0;
    }
    result
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
        (Outcome::Native | Outcome::Channel | Outcome::Datagrams, ..) => None,
    }
}

/// `listen`: where the door gives a channel, it takes the place of the listener.
pub(crate) fn listen(fd: i32, backlog: i32) -> isize {
    if host::DOOR.is_empty() {
        return kernel::listen(fd, backlog);
    }
    let claimed = match table::find(fd) {
        Some(slot) => match slot.kind() {
            Kind::Channel(_) if is_channel(slot, fd) => {
                heir::listens(slot, fd);
                return 0;
            }
            Kind::Claimed if is_claimed(slot, fd) => slot.address(),
            Kind::Channel(_) | Kind::Claimed => {
                slot.forget();
                Address::NONE
            }
        },
        None => Address::NONE,
    };
    if !is_stream(fd) {
        let result = kernel::listen(fd, backlog);
        // A channel that this process inherited answers so.
        return match (result == -(kernel::EINVAL as isize)).then(|| adopt(fd)) {
            Some(Some(slot)) => {
                heir::listens(slot, fd);
                0
            }
            _ => result,
        };
    }
    if claimed.is_none() && !table::has_room() {
        return kernel::listen(fd, backlog);
    }
    let mut request = host::request(Verb::Listen);
    request.fd = fd;
    request.arg = backlog;
    request.address = claimed;
    // As they are now: the supervisor's listener shall not block, and is the same open file.
    let flags = Flags::of(fd);
    let Some((reply, channel)) = door::ask(&request) else {
        return natively(fd, backlog, &claimed);
    };
    match (reply.outcome, channel) {
        (Outcome::Channel, Some(channel)) => {
            let installed = install(fd, channel, reply.channel, &reply.address, flags);
            kernel::close(channel);
            installed
        }
        (Outcome::Channel, None) => {
            tell_closed(reply.channel);
            -(kernel::EMFILE as isize)
        }
        (outcome, stray) => {
            if let Some(stray) = stray {
                kernel::close(stray);
            }
            match outcome {
                Outcome::Done => 0,
                Outcome::Failed(errno) => -(errno as isize),
                _ => natively(fd, backlog, &claimed),
            }
        }
    }
}

/// `listen` without the door. A socket that is bound only in pretence would listen just anywhere:
/// now it has to be bound in earnest.
fn natively(fd: i32, backlog: i32, claimed: &Address) -> isize {
    if !claimed.is_none() {
        let bound = kernel::bind(fd, claimed.as_bytes());
        if bound < 0 {
            return bound;
        }
        forget(fd);
    }
    kernel::listen(fd, backlog)
}

/// What a listener's descriptor keeps when it becomes a channel.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    nonblocking: i32,
    cloexec: i32,
    /// How long accept may wait.
    timeout: kernel::Timeout,
}

impl Flags {
    pub(crate) fn of(fd: i32) -> Self {
        let status = kernel::fcntl(fd, kernel::F_GETFL, 0).max(0) as i32;
        let descriptor = kernel::fcntl(fd, kernel::F_GETFD, 0).max(0) as i32;
        Self {
            nonblocking: status & kernel::O_NONBLOCK,
            cloexec: if descriptor & kernel::FD_CLOEXEC != 0 {
                kernel::O_CLOEXEC
            } else {
                0
            },
            timeout: kernel::receive_timeout(fd),
        }
    }
}

/// Puts the channel in the listener's place: same number, same flags, and known to the same
/// epolls.
pub(crate) fn install(fd: i32, channel: i32, id: u64, address: &Address, flags: Flags) -> isize {
    kernel::fcntl(channel, kernel::F_SETFL, flags.nonblocking);
    if flags.timeout != kernel::seconds(0) {
        kernel::set_timeout(channel, kernel::SO_RCVTIMEO, &flags.timeout);
    }
    let registrations = Registrations::take(fd);
    // Known before it is in place: the first call on it must find it.
    if !table::remember(fd, Kind::Channel(id), address) {
        registrations.put_back(fd);
        tell_closed(id);
        return -(kernel::EMFILE as isize);
    }
    let replaced = kernel::dup3(channel, fd, flags.cloexec);
    registrations.put_back(fd);
    if replaced < 0 {
        forget(fd);
        tell_closed(id);
        return replaced;
    }
    0
}

/// `getsockname`: the listener's address, where a channel or a pretence stands for it.
///
/// # Safety
/// `address` and `len` as `getsockname` wants them.
pub(crate) unsafe fn getsockname(fd: i32, address: *mut u8, len: *mut u32) -> isize {
    match own_name(fd) {
        Some(name) => give_name(&name, address, len),
        // SAFETY: the caller's promise.
        None => unsafe { named(nr::GETSOCKNAME, fd, address, len) },
    }
}

/// The name that a descriptor is to show, if it is not the kernel's.
fn own_name(fd: i32) -> Option<Address> {
    if host::DOOR.is_empty() {
        return None;
    }
    if let Some(name) = table::find(fd).and_then(|slot| pretended(slot, fd)) {
        return Some(name);
    }
    let mut bytes = [0; 112];
    let length = kernel::getsockname(fd, &mut bytes).ok()?;
    // A channel has a long name of a family that few listeners have: ask no further else.
    match length {
        CHANNEL_NAME_LEN => adopt(fd).and_then(|slot| pretended(slot, fd)),
        PAIR_NAME_LEN => shown(fd, kernel::getsockname),
        _ => claimed_elsewhere(fd, bytes.get(..length)?),
    }
}

/// The address that a TCP socket without a port was bound to in pretence, by the process that has passed
/// it on to this one.
fn claimed_elsewhere(fd: i32, name: &[u8]) -> Option<Address> {
    let family = u16::from_ne_bytes(*name.first_chunk()?);
    if !matches!(family, kernel::AF_INET | kernel::AF_INET6) || is_fixed(name) || !is_stream(fd) {
        return None;
    }
    let mut request = host::request(Verb::Name);
    request.fd = fd;
    match answer(&request)? {
        (Outcome::Done, _, address) if is_fixed(address.as_bytes()) => Some(address),
        _ => None,
    }
}

/// Gives a name as the kernel does: no more than there is room for, and the whole length.
pub(crate) fn give_name(name: &Address, address: *mut u8, len: *mut u32) -> isize {
    let name = name.as_bytes();
    memory::give(name, address, len, |_| name.len())
}

/// `getsockname` or `getpeername` of the kernel.
///
/// # Safety
/// `address` and `len` as these want them.
unsafe fn named(number: usize, fd: i32, address: *mut u8, len: *mut u32) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        kernel::call(
            number,
            [fd as usize, address as usize, len as usize, 0, 0, 0],
        )
    }
}

/// `getpeername`: a listener has no peer, whatever its channel has.
///
/// # Safety
/// `address` and `len` as `getpeername` wants them.
pub(crate) unsafe fn getpeername(fd: i32, address: *mut u8, len: *mut u32) -> isize {
    if let Some(slot) = table::find(fd)
        && is_channel(slot, fd)
    {
        return -(kernel::ENOTCONN as isize);
    }
    if !host::DOOR.is_empty() {
        let mut bytes = [0; 112];
        match kernel::getpeername(fd, &mut bytes) {
            Ok(PAIR_NAME_LEN) => {
                if let Some(name) = shown(fd, kernel::getpeername) {
                    return give_name(&name, address, len);
                }
            }
            // The other end of a channel that this process inherited has no name, as few other
            // sockets'.
            Ok(2) if id_of(fd).is_some() => return -(kernel::ENOTCONN as isize),
            _ => {}
        }
    }
    // SAFETY: the caller's promise.
    unsafe { named(nr::GETPEERNAME, fd, address, len) }
}

/// The address that an end of a pair shows, by its whole name.
fn shown(fd: i32, name: fn(i32, &mut [u8]) -> Result<usize, i32>) -> Option<Address> {
    let mut bytes = [0; 112];
    let len = name(fd, &mut bytes).ok()?;
    Some(pair_address(bytes.get(..len)?)?.1)
}

/// Whether this stands for a client's TCP connection, which options of TCP may be set on.
pub(crate) fn is_pair(fd: i32) -> bool {
    shown(fd, kernel::getsockname).is_some()
}

/// The address to show for this descriptor, if its entry is still true.
fn pretended(slot: &Slot, fd: i32) -> Option<Address> {
    let mut bytes = [0; 112];
    let len = kernel::getsockname(fd, &mut bytes).ok()?;
    let name = bytes.get(..len)?;
    let holds = match slot.kind() {
        Kind::Channel(id) => channel_id(name) == Some(id),
        Kind::Claimed => is_claimed(slot, fd) && !is_fixed(name),
    };
    if !holds {
        slot.forget();
        return None;
    }
    Some(slot.address())
}

/// `close`: the door hears of a listener's end.
pub(crate) fn close(fd: i32) -> isize {
    // A child that was forked, and has not accepted here, closes only its own copy. And what a
    // child of vfork does to the table, it does to its parent's.
    if let Some(slot) = table::find(fd)
        && slot.process.load(Relaxed) == kernel::getpid()
    {
        if is_channel(slot, fd) {
            say_closed(slot);
        }
        slot.forget();
        park::end(slot);
    }
    park::before_close(fd);
    traffic::closed(fd);
    kernel::close(fd)
}

/// Tells the door that this channel is closed; whether anybody hears it.
pub(crate) fn say_closed(slot: &Slot) -> bool {
    match slot.kind() {
        Kind::Channel(id) => tell_closed(id),
        Kind::Claimed => false,
    }
}

fn tell_closed(channel: u64) -> bool {
    let mut request = host::request(Verb::Close);
    request.channel = channel;
    door::tell(&request)
}

/// Whether something is known of this descriptor; it may be out of date.
#[inline]
pub(crate) fn is_known(fd: i32) -> bool {
    table::find(fd).is_some()
}

/// Whether a channel stands for a listener under this descriptor.
#[inline]
pub(crate) fn is_own_channel(fd: i32) -> bool {
    table::find(fd).is_some_and(|slot| is_channel(slot, fd))
}

/// Whether the entry is still true, by the channel's name.
pub(crate) fn is_channel(slot: &Slot, fd: i32) -> bool {
    match (slot.kind(), id_of(fd)) {
        (Kind::Channel(known), Some(id)) => known == id,
        _ => false,
    }
}

/// Whether this is still the socket that is bound in pretence.
fn is_claimed(slot: &Slot, fd: i32) -> bool {
    kernel::socket_cookie(fd) == Some(slot.cookie.load(Relaxed))
}

/// The channel's number, if this descriptor is one.
pub(crate) fn id_of(fd: i32) -> Option<u64> {
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
pub(crate) fn answer(request: &Request) -> Option<(Outcome, u64, Address)> {
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
pub(crate) fn is_fixed(sockaddr: &[u8]) -> bool {
    match family(sockaddr) {
        Some(AF_INET | AF_INET6) => {
            matches!(sockaddr.get(2..4), Some(port) if port != [0, 0])
        }
        Some(AF_UNIX) => sockaddr.len() > 2,
        _ => false,
    }
}

pub(crate) fn family(sockaddr: &[u8]) -> Option<u16> {
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
