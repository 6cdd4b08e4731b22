//! Datagram sockets: the instances of an app share the one that is bound to an address.
//!
//! The first to bind has it from the kernel, as ever. A further instance is refused by the kernel,
//! and gets the socket of the first, so that each datagram goes to whichever instance reads next.
//! A socket for which the app asks the kernel to share its port (SO_REUSEADDR, SO_REUSEPORT) is not
//! refused, and not touched.

use wire::{Address, Outcome, Verb};

use crate::epoll::Registrations;
use crate::kernel::{self, AF_INET, AF_INET6, SOCK_DGRAM};
use crate::{door, host, listener};

/// Puts another instance's socket in this one's place, if there is one at this address.
pub(crate) fn share(fd: i32, sockaddr: &[u8]) -> bool {
    if !matches!(listener::family(sockaddr), Some(AF_INET | AF_INET6))
        || !listener::is_fixed(sockaddr)
        || kernel::socket_option(fd, kernel::SO_TYPE) != Some(SOCK_DGRAM)
    {
        return false;
    }
    let Some(address) = Address::new(sockaddr) else {
        return false;
    };
    let mut request = host::request(Verb::ShareDatagrams);
    request.fd = fd;
    request.address = address;
    let Some((reply, Some(theirs))) = door::ask(&request) else {
        return false;
    };
    let shared = reply.outcome == Outcome::Datagrams && replace(fd, theirs);
    kernel::close(theirs);
    shared
}

/// The other socket under the same number, known to the same epolls. Whether it blocks is the same
/// for all who share it, and stays as it is.
fn replace(fd: i32, theirs: i32) -> bool {
    let descriptor = kernel::fcntl(fd, kernel::F_GETFD, 0).max(0) as i32;
    let cloexec = if descriptor & kernel::FD_CLOEXEC != 0 {
        kernel::O_CLOEXEC
    } else {
        0
    };
    let registrations = Registrations::take(fd);
    let replaced = kernel::dup3(theirs, fd, cloexec) >= 0;
    registrations.put_back(fd);
    replaced
}
