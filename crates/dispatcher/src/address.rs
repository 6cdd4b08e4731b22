//! Addresses of listeners: what makes two of them the same, and how they are shown.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use balance::Client;
use serde::{Deserialize, Serialize};

/// An address that workers can share. Two listeners are the same if these are equal.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ListenAddress {
    /// TCP. `only_v6` tells a `[::]` that leaves IPv4 to others from one that does not.
    Tcp { socket: SocketAddr, only_v6: bool },
    /// A Unix socket at an absolute path.
    Path(PathBuf),
    /// A Unix socket in the abstract namespace.
    Abstract(Vec<u8>),
}

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

impl ListenAddress {
    /// Reads a `sockaddr`. A relative path is taken from `cwd`. `None` for an address that names
    /// no place that could be shared: port 0, an unnamed socket, another family.
    pub(crate) fn parse(sockaddr: &[u8], only_v6: bool, cwd: &Path) -> Option<Self> {
        let family = u16::from_ne_bytes(*sockaddr.first_chunk()?);
        let port = || Some(u16::from_be_bytes(*sockaddr.get(2..)?.first_chunk()?));
        let tcp = |socket: SocketAddr| {
            (socket.port() != 0).then_some(Self::Tcp {
                // Of any other address the kernel sets the option itself when it is bound.
                only_v6: only_v6 && socket.is_ipv6() && socket.ip().is_unspecified(),
                socket,
            })
        };
        match family {
            AF_INET => {
                let ip: [u8; 4] = *sockaddr.get(4..)?.first_chunk()?;
                tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port()?))
            }
            AF_INET6 => {
                let ip: [u8; 16] = *sockaddr.get(8..)?.first_chunk()?;
                let scope = sockaddr
                    .get(24..)
                    .and_then(|rest| rest.first_chunk())
                    .map_or(0, |scope| u32::from_ne_bytes(*scope));
                tcp(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(ip),
                    port()?,
                    0,
                    scope,
                )))
            }
            AF_UNIX => match sockaddr.get(2..)? {
                [] => None,
                [0, name @ ..] => Some(Self::Abstract(name.to_vec())),
                path => {
                    let end = path.iter().position(|byte| *byte == 0);
                    let path = path.get(..end.unwrap_or(path.len()))?;
                    Some(Self::Path(cwd.join(std::ffi::OsStr::from_bytes(path))))
                }
            },
            _ => None,
        }
    }

    pub fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    /// Whether it stands for all addresses of the machine.
    pub(crate) fn is_wildcard(&self) -> bool {
        matches!(self, Self::Tcp { socket, .. } if socket.ip().is_unspecified())
    }

    /// The TCP port, if it has one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { socket, .. } => Some(socket.port()),
            Self::Path(_) | Self::Abstract(_) => None,
        }
    }
}

// ListenAddress holds socket addresses, which are hashed by what makes them equal.
impl std::hash::Hash for ListenAddress {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Self::Tcp { socket, .. } => socket.hash(state),
            Self::Path(path) => path.hash(state),
            Self::Abstract(name) => name.hash(state),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { socket, .. } => socket.fmt(f),
            Self::Path(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.escape_ascii()),
        }
    }
}

/// The client at the other end of a connection. One over a Unix socket has no address: it is told
/// from others by the `number` of its connection.
pub(crate) fn client(sockaddr: &[u8], number: u64) -> Client {
    ip(sockaddr).map_or_else(|| Client::unknown(number), Client::at)
}

/// The IP address in a `sockaddr`.
pub(crate) fn ip(sockaddr: &[u8]) -> Option<IpAddr> {
    let family = sockaddr
        .first_chunk()
        .map(|bytes| u16::from_ne_bytes(*bytes));
    match family {
        Some(AF_INET) => sockaddr
            .get(4..)
            .and_then(|rest| rest.first_chunk::<4>())
            .map(|ip| IpAddr::from(*ip)),
        Some(AF_INET6) => sockaddr
            .get(8..)
            .and_then(|rest| rest.first_chunk::<16>())
            .map(|ip| IpAddr::from(*ip)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sockaddr: &[u8], only_v6: bool) -> Option<String> {
        ListenAddress::parse(sockaddr, only_v6, Path::new("/srv"))
            .map(|address| address.to_string())
    }

    #[test]
    fn places_are_shown_as_users_write_them() {
        let v4 = [2, 0, 0x15, 0xb3, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(shown(&v4, false).unwrap(), "127.0.0.1:5555");
        let mut v6 = [0; 28];
        v6[..4].copy_from_slice(&[10, 0, 0x15, 0xb3]);
        assert_eq!(shown(&v6, false).unwrap(), "[::]:5555");
        assert_eq!(
            shown(b"\x01\0app.sock\0", false).unwrap(),
            "unix:/srv/app.sock"
        );
        assert_eq!(shown(b"\x01\0/run/a\0", false).unwrap(), "unix:/run/a");
        assert_eq!(shown(b"\x01\0\0name", false).unwrap(), "unix:@name");
    }

    #[test]
    fn what_is_no_place_is_none() {
        for bad in [
            &[2, 0, 0, 0, 1, 2, 3, 4][..],
            &[1, 0],
            &[],
            &[16, 0, 1, 1],
            &[2, 0, 1],
        ] {
            assert_eq!(shown(bad, false), None, "{bad:?}");
        }
    }

    #[test]
    fn a_client_is_its_address_and_not_its_port() {
        let from = |port, ip: [u8; 4]| {
            let sockaddr = [&[2, 0, 1, port][..], &ip, &[0; 8]].concat();
            client(&sockaddr, u64::from(port))
        };
        assert_eq!(from(1, [127, 0, 0, 1]), from(2, [127, 0, 0, 1]));
        assert_ne!(from(1, [127, 0, 0, 1]), from(1, [127, 0, 0, 2]));
        assert_ne!(client(&[1, 0], 1), client(&[1, 0], 2));
        assert_ne!(client(&[2, 0], 1), client(&[2, 0], 2));
    }

    #[test]
    fn dual_stack_and_ipv6_alone_are_two_places() {
        let mut v6 = [0; 28];
        v6[..4].copy_from_slice(&[10, 0, 0x15, 0xb3]);
        let at = |only| ListenAddress::parse(&v6, only, Path::new("/"));
        assert_ne!(at(true), at(false));
        v6[23] = 1;
        let at = |only| ListenAddress::parse(&v6, only, Path::new("/"));
        assert_eq!(at(true), at(false));
    }
}
