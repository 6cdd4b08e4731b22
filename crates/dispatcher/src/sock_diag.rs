//! Whether a connection is still open at a worker: the kernel's `sock_diag`.
//!
//! An exact query names one connection, by its two addresses or, for a Unix socket, by its inode.
//! It costs one to two microseconds, however many there are, and takes no privileges. A connection
//! is open while some process holds a descriptor of it: then it has an inode. Its TCP state would
//! mislead, for it lives on after the worker's `close` until the client has everything.
//!
//! The kernel also tells of each TCP socket's end as it happens, to whoever joins a group of
//! `sock_diag`. It may leave some out, and tells only of addresses, which may be in use again: so
//! what it tells is a reason to ask, and no more.
//!
//! Protocols: sock_diag(7), and the kernel's uapi/linux/inet_diag.h and unix_diag.h.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};

use super::endpoint::{AF_INET, AF_INET6, AF_UNIX, Endpoint, number_at};

/// How many connections are asked about in one message.
pub(super) const BATCH: usize = 32;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const ENOENT: i32 = 2;
const ESTALE: i32 = 116;

const IPPROTO_TCP: u8 = 6;

/// Any cookie: the addresses say which connection is meant.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// The groups that are told of ended TCP sockets, over IPv4 and over IPv6.
const ENDS: u32 = group(1) | group(3);

const fn group(number: u32) -> u32 {
    1 << (number - 1)
}

/// Where a port stands in what the groups are told: behind the message's header and four bytes.
const LOCAL_PORT_AT: u32 = 20;

/// What the kernel says of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Some process holds it.
    Open,
    /// None does.
    Ended,
    /// The kernel did not say.
    Unknown,
}

/// Writes the query for a connection, with a number to know the answer by. `extensions` are what is asked for
/// besides, as bits.
pub(super) fn write_query(endpoint: Endpoint, number: u32, extensions: u8, out: &mut Vec<u8>) {
    match endpoint {
        Endpoint::Tcp { local, peer } => {
            let mut body = [0; 56];
            let v4 = local.is_ipv4();
            put(&mut body, 0, &[if v4 { AF_INET } else { AF_INET6 }]);
            put(&mut body, 1, &[IPPROTO_TCP, extensions]);
            put(&mut body, 4, &u32::MAX.to_ne_bytes()); // in any state
            put(&mut body, 8, &local.port().to_be_bytes());
            put(&mut body, 10, &peer.port().to_be_bytes());
            for (at, address) in [(12, local), (28, peer)] {
                match address.ip() {
                    IpAddr::V4(ip) => put(&mut body, at, &ip.octets()),
                    IpAddr::V6(ip) => put(&mut body, at, &ip.octets()),
                }
            }
            if let SocketAddr::V6(peer) = peer {
                // A link-local connection belongs to an interface.
                put(&mut body, 44, &peer.scope_id().to_ne_bytes());
            }
            put(&mut body, 48, &NO_COOKIE);
            write_header(number, body.len(), out);
            out.extend(body);
        }
        Endpoint::Unix { inode } => {
            let mut body = [0; 24];
            put(&mut body, 0, &[AF_UNIX]);
            put(&mut body, 4, &u32::MAX.to_ne_bytes());
            put(&mut body, 8, &inode.to_ne_bytes());
            put(&mut body, 12, &u32::from(extensions).to_ne_bytes());
            put(&mut body, 16, &NO_COOKIE);
            write_header(number, body.len(), out);
            out.extend(body);
        }
    }
}

fn write_header(number: u32, len: usize, out: &mut Vec<u8>) {
    let len = 16 + len as u32;
    out.extend(len.to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend(number.to_ne_bytes());
    out.extend([0; 4]);
}

fn put(body: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in body.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

/// Reads an answer: the query's number, and what it says.
pub(super) fn read_answer(message: &[u8]) -> Option<(u32, Presence)> {
    let kind = u16::from_ne_bytes(number_at(message, 4)?);
    let number = u32::from_ne_bytes(number_at(message, 8)?);
    let body = message.get(16..)?;
    let presence = match kind {
        NLMSG_ERROR => match i32::from_ne_bytes(number_at(body, 0)?).saturating_neg() {
            ENOENT | ESTALE => Presence::Ended,
            _ => Presence::Unknown,
        },
        // A Unix socket leaves the kernel's table when it is closed.
        SOCK_DIAG_BY_FAMILY if body.first() == Some(&AF_UNIX) => Presence::Open,
        SOCK_DIAG_BY_FAMILY => {
            // Where the kernel does not find the connection it finds the listener: one without a
            // peer.
            let peer_port = u16::from_be_bytes(number_at(body, 6)?);
            let inode = u32::from_ne_bytes(number_at(body, 68)?);
            if peer_port == 0 || inode == 0 {
                Presence::Ended
            } else {
                Presence::Open
            }
        }
        _ => Presence::Unknown,
    };
    Some((number, presence))
}

/// Reads what the groups are told: which connection has ended.
fn read_end(message: &[u8]) -> Option<Endpoint> {
    let body = message.get(16..)?;
    let family = *body.first()?;
    let local_port = u16::from_be_bytes(number_at(body, 4)?);
    let peer_port = u16::from_be_bytes(number_at(body, 6)?);
    let scope = u32::from_ne_bytes(number_at(body, 40)?);
    let address = |at, port| -> Option<SocketAddr> {
        match family {
            AF_INET => {
                let ip = Ipv4Addr::from(number_at::<4>(body, at)?);
                Some(SocketAddr::new(ip.into(), port))
            }
            AF_INET6 => {
                let ip = Ipv6Addr::from(number_at::<16>(body, at)?);
                Some(match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddr::new(v4.into(), port),
                    None => SocketAddrV6::new(ip, port, 0, scope).into(),
                })
            }
            _ => None,
        }
    };
    Some(Endpoint::Tcp {
        local: address(8, local_port)?,
        peer: address(24, peer_port)?,
    })
}

fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let kind = SocketType::RAW;
    let family = AddressFamily::NETLINK;
    let socket = rustix::net::socket_with(family, kind, flags, Some(netlink::SOCK_DIAG))?;
    Ok(socket)
}

/// Where the kernel is asked.
#[derive(Debug)]
pub(super) struct SockDiag {
    pub(super) socket: OwnedFd,
    pub(super) query: Vec<u8>,
}

impl SockDiag {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            socket: open()?,
            query: Vec::with_capacity(BATCH * 72),
        })
    }

    /// Asks about up to [`BATCH`] connections; what is said of each, in their order.
    pub(super) fn ask(&mut self, endpoints: &[Endpoint]) -> [Presence; BATCH] {
        let mut said = [Presence::Unknown; BATCH];
        self.query.clear();
        for (number, endpoint) in (0..).zip(endpoints.iter().take(BATCH)) {
            write_query(*endpoint, number, 0, &mut self.query);
        }
        // The kernel answers before the call returns. Of what it cannot say nothing is known.
        if sys::send(self.socket.as_fd(), &self.query, None).is_err() {
            return said;
        }
        let mut message = [0; 256];
        for _ in endpoints.iter().take(BATCH) {
            let Ok(len) = receive(&self.socket, &mut message) else {
                break;
            };
            if let Some((number, presence)) = message.get(..len).and_then(read_answer)
                && let Some(place) = said.get_mut(number as usize)
            {
                *place = presence;
            }
        }
        said
    }
}

/// Where the kernel tells of ends.
#[derive(Debug)]
pub(super) struct Ends {
    socket: OwnedFd,
}

impl Ends {
    /// Joins the groups, for connections to these ports of ours.
    pub(super) fn join(ports: &[u16]) -> io::Result<Self> {
        let socket = open()?;
        sys::accept_ports_at(socket.as_fd(), LOCAL_PORT_AT, ports)?;
        let mut address = [0; 12];
        put(&mut address, 0, &16u16.to_ne_bytes()); // AF_NETLINK
        put(&mut address, 8, &ENDS.to_ne_bytes());
        sys::bind(socket.as_fd(), &address)?;
        Ok(Self { socket })
    }

    /// The next connection of which an end was told.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; any other error means that some were left out.
    pub(super) fn next(&self) -> io::Result<Option<Endpoint>> {
        let mut message = [0; 256];
        let len = receive(&self.socket, &mut message)?;
        Ok(message.get(..len).and_then(read_end))
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(super) fn receive(socket: &OwnedFd, message: &mut [u8]) -> io::Result<usize> {
    let flags = rustix::net::RecvFlags::DONTWAIT;
    let (len, _) = rustix::net::recv(socket, message, flags)?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn accept(listener: &OwnedFd) -> (OwnedFd, Endpoint) {
        let (socket, peer) = sys::accept(listener.as_fd()).unwrap();
        let endpoint = Endpoint::of(socket.as_fd(), peer.as_bytes()).unwrap();
        (socket, endpoint)
    }

    fn presence(endpoint: Endpoint) -> Presence {
        SockDiag::open().unwrap().ask(&[endpoint])[0]
    }

    #[test]
    fn tcp_connections_are_seen_to_end() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let listener = OwnedFd::from(listener);
            let target = if address == "[::1]:0" {
                "::1"
            } else {
                "127.0.0.1"
            };
            let client = TcpStream::connect((target, port)).unwrap();
            let (socket, endpoint) = accept(&listener);
            assert_eq!(presence(endpoint), Presence::Open, "{address}");
            // The client still has it: what the worker has closed has ended all the same.
            drop(socket);
            assert_eq!(presence(endpoint), Presence::Ended, "{address}");
            drop(client);
            assert_eq!(presence(endpoint), Presence::Ended, "{address}");
        }
    }

    #[test]
    fn a_connection_that_left_no_trace_is_not_taken_for_its_listener() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let listener = OwnedFd::from(listener);
            let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (socket, endpoint) = accept(&listener);
            // Closed so, it is reset, and does not linger.
            let at_once = Some(std::time::Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(&socket, at_once).unwrap();
            drop(socket);
            assert_eq!(presence(endpoint), Presence::Ended, "{address}");
            drop(client);
        }
    }

    #[test]
    fn a_connection_whose_client_is_gone_is_open_until_it_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (socket, endpoint) = accept(&listener.into());
        drop(client);
        assert_eq!(presence(endpoint), Presence::Open);
        drop(socket);
        assert_eq!(presence(endpoint), Presence::Ended);
    }

    #[test]
    fn unix_connections_are_seen_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = OwnedFd::from(UnixListener::bind(&path).unwrap());
        let _client = UnixStream::connect(&path).unwrap();
        let (socket, endpoint) = accept(&listener);
        assert_eq!(presence(endpoint), Presence::Open);
        drop(socket);
        assert_eq!(presence(endpoint), Presence::Ended);
    }

    #[test]
    fn many_are_asked_about_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = OwnedFd::from(listener);
        let mut clients = Vec::new();
        let mut accepted = Vec::new();
        for _ in 0..BATCH {
            clients.push(TcpStream::connect(address).unwrap());
            accepted.push(accept(&listener));
        }
        let endpoints: Vec<_> = accepted.iter().map(|(_, endpoint)| *endpoint).collect();
        let mut diag = SockDiag::open().unwrap();
        assert_eq!(diag.ask(&endpoints), [Presence::Open; BATCH]);
        // Every other one is closed.
        let mut odd = false;
        accepted.retain(|_| {
            odd = !odd;
            odd
        });
        for (at, presence) in diag.ask(&endpoints).into_iter().enumerate() {
            let open = at % 2 == 0;
            assert_eq!(presence == Presence::Open, open, "{at}");
        }
    }

    #[test]
    fn ends_are_told_of_but_not_those_of_other_ports() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let ends = Ends::join(&[address.port()]).unwrap();
        let elsewhere = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        drop((elsewhere, other.accept().unwrap()));
        let client = TcpStream::connect(address).unwrap();
        let listener = OwnedFd::from(listener);
        let (socket, endpoint) = accept(&listener);
        drop(client);
        drop(socket);
        let mut fds = [PollFd::new(&ends, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 20,
            tv_nsec: 0,
        };
        assert_eq!(poll(&mut fds, Some(&patience)).unwrap(), 1);
        assert_eq!(ends.next().unwrap(), Some(endpoint));
    }

    #[test]
    fn messages_of_any_kind_are_read_without_harm() {
        let mut message = [0u8; 100];
        for kind in [0u16, NLMSG_ERROR, SOCK_DIAG_BY_FAMILY, 77] {
            put(&mut message, 4, &kind.to_ne_bytes());
            for len in 0..message.len() {
                for family in [AF_UNIX, AF_INET, AF_INET6, 99] {
                    message[16] = family;
                    let _ = read_answer(&message[..len]);
                    let _ = read_end(&message[..len]);
                }
            }
        }
    }
}
