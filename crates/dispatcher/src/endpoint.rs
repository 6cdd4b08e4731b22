//! Connections, by what the kernel knows them.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::BorrowedFd;

pub(super) const AF_UNIX: u8 = 1;
pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;

const IPPROTO_TCP: i32 = 6;
/// The first byte of what this option reads is the state.
const TCP_INFO: i32 = 11;
/// `TCP_ESTABLISHED`.
const ESTABLISHED: u8 = 1;

/// A connection, by what the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// TCP: our address, and the client's.
    Tcp { local: SocketAddr, peer: SocketAddr },
    /// A Unix socket: its inode.
    Unix { inode: u32 },
}

/// Three writes for a connection over IPv4, where a derived hash makes some ten. Scopes are left
/// out: connections that differ in nothing else are few.
impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Tcp { local, peer } => {
                for address in [local.ip(), peer.ip()] {
                    match address {
                        IpAddr::V4(ip) => state.write_u32(ip.to_bits()),
                        IpAddr::V6(ip) => state.write_u128(ip.to_bits()),
                    }
                }
                state.write_u32(u32::from(local.port()) << 16 | u32::from(peer.port()));
            }
            Self::Unix { inode } => state.write_u32(*inode),
        }
    }
}

impl Endpoint {
    /// The endpoint of an accepted connection, still held. `None` for one of another family.
    pub(crate) fn of(socket: BorrowedFd<'_>, peer: &[u8]) -> Option<Self> {
        let local = sys::local_address(socket).ok()?;
        let family = u16::from_ne_bytes(*local.as_bytes().first_chunk()?);
        if family == u16::from(AF_UNIX) {
            let inode = rustix::fs::fstat(socket).ok()?.st_ino;
            return Some(Self::Unix {
                inode: u32::try_from(inode).ok()?,
            });
        }
        Some(Self::Tcp {
            local: canonical(local.as_bytes())?,
            peer: canonical(peer)?,
        })
    }

    /// Whether neither side has closed the connection yet. A Unix socket is in the kernel's table
    /// as long as it is held, whatever its client does.
    pub(super) fn is_established(self, socket: BorrowedFd<'_>) -> bool {
        let mut state = [0];
        match self {
            Self::Tcp { .. } => {
                let read = sys::read_option(socket, IPPROTO_TCP, TCP_INFO, &mut state);
                read.is_ok() && state == [ESTABLISHED]
            }
            Self::Unix { .. } => true,
        }
    }

    /// Whether it is a TCP connection at this port of ours.
    pub(super) fn is_at(self, port: Option<u16>) -> bool {
        matches!(self, Self::Tcp { local, .. } if Some(local.port()) == port)
    }

    /// The client's address, if it has one.
    pub(super) fn peer(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp { peer, .. } => Some(peer),
            Self::Unix { .. } => None,
        }
    }
}

/// A TCP address out of a `sockaddr`, an IPv4 address within IPv6 as the IPv4 that it is: so the
/// kernel keeps such a connection.
fn canonical(sockaddr: &[u8]) -> Option<SocketAddr> {
    let family = u16::from_ne_bytes(*sockaddr.first_chunk()?);
    let port = u16::from_be_bytes(number_at(sockaddr, 2)?);
    if family == u16::from(AF_INET) {
        let ip = Ipv4Addr::from(number_at::<4>(sockaddr, 4)?);
        return Some(SocketAddr::new(ip.into(), port));
    }
    if family != u16::from(AF_INET6) {
        return None;
    }
    let ip = Ipv6Addr::from(number_at::<16>(sockaddr, 8)?);
    let scope = u32::from_ne_bytes(number_at(sockaddr, 24)?);
    Some(match ip.to_ipv4_mapped() {
        Some(v4) => SocketAddr::new(v4.into(), port),
        None => SocketAddrV6::new(ip, port, 0, scope).into(),
    })
}

pub(super) fn number_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_any_kind_are_read_without_harm() {
        assert_eq!(canonical(&[]), None);
        assert_eq!(canonical(&[2, 0, 1]), None);
    }
}
