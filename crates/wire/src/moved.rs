//! What a supervisor that is replaced sends to its successor, where requests are placed: the
//! connections of clients, each with what has been read from it and not been answered, and the
//! workers' ends of connections to workers, whose requests the old one has in progress. It tells, too, which
//! requests workers have.
//!
//! Each message begins with eight bytes. The two supervisors may be of different versions of
//! maitred: what a reader does not understand it refuses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Address;

/// The version of these messages.
const VERSION: u8 = 1;

/// Bytes of an address without a port: a family, and room for IPv6.
const IP: usize = 17;

/// What all messages begin with: version, kind, two bytes of flags, and a number of four bytes.
const BASE: usize = 8;

/// Bytes of a message without what follows it, at most.
pub const MOVED_LEN: usize = BASE + 2 * Address::ENCODED + 2 * IP + 16;

const CLIENT: u8 = 1;
const REST: u8 = 2;
const REQUEST: u8 = 3;
const OVER: u8 = 4;
const HELD: u8 = 5;

const SERVED: u16 = 1;
const HEADER: u16 = 2;
const WANTS: u16 = 1;
const LASTS: u16 = 1;

/// Where a connection comes from, and where it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The `sockaddr` of the client, as workers see it.
    pub peer: Address,
    /// The client's IP address; none over a Unix socket.
    pub address: Option<IpAddr>,
    /// The address that it connected to, where the listener has several.
    pub local: Option<IpAddr>,
    /// The `sockaddr` of the listener.
    pub listener: Address,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// A client's connection, which comes along. The first of its bytes follow.
    Client {
        /// Where it comes from.
        way: Way,
        /// It has had a response.
        served: bool,
        /// Its PROXY header has not come yet, or not all of it.
        header: bool,
        /// How many bytes were read from it, in this message and in those behind it.
        bytes: u32,
    },
    /// More bytes of the client before.
    Rest,
    /// The worker's end of a connection, which comes along, and in which a request lies.
    Request {
        /// Where the request comes from.
        way: Way,
        /// What [`Moved::Over`] names it by.
        number: u64,
        /// The key of the worker that it names.
        wants: Option<u64>,
    },
    /// A worker has a request of the old supervisor's in progress.
    Held {
        /// What [`Moved::Over`] names it by.
        number: u64,
        /// The number of the worker's channel.
        channel: u64,
        /// It lasts as long as its client likes, as a tunnel does.
        lasts: bool,
    },
    /// The old supervisor is done with this request.
    Over(u64),
}

impl Moved {
    /// The message, without what follows it, and its length.
    pub fn encode(&self) -> ([u8; MOVED_LEN], usize) {
        let mut out = Writer {
            bytes: [0; MOVED_LEN],
            at: 0,
        };
        match self {
            Self::Client {
                way,
                served,
                header,
                bytes,
            } => {
                let flags = u16::from(*served) * SERVED + u16::from(*header) * HEADER;
                out.base(CLIENT, flags, *bytes);
                out.way(way);
            }
            Self::Rest => out.base(REST, 0, 0),
            Self::Request { way, number, wants } => {
                out.base(REQUEST, u16::from(wants.is_some()) * WANTS, 0);
                out.way(way);
                out.put(&number.to_ne_bytes());
                out.put(&wants.unwrap_or(0).to_ne_bytes());
            }
            Self::Held {
                number,
                channel,
                lasts,
            } => {
                out.base(HELD, u16::from(*lasts) * LASTS, 0);
                out.put(&number.to_ne_bytes());
                out.put(&channel.to_ne_bytes());
            }
            Self::Over(number) => {
                out.base(OVER, 0, 0);
                out.put(&number.to_ne_bytes());
            }
        }
        (out.bytes, out.at)
    }

    /// Reads a message; what follows it comes along. `None` for what is not understood.
    pub fn decode(from: &[u8]) -> Option<(Self, &[u8])> {
        let (base, mut rest) = from.split_first_chunk::<BASE>()?;
        let [version, kind, f, g, a, b, c, d] = *base;
        let flags = u16::from_ne_bytes([f, g]);
        let count = u32::from_ne_bytes([a, b, c, d]);
        let known = match kind {
            CLIENT => SERVED | HEADER,
            REQUEST => WANTS,
            HELD => LASTS,
            _ => 0,
        };
        if version != VERSION || flags & !known != 0 {
            return None;
        }
        let message = match kind {
            CLIENT => Self::Client {
                way: way(&mut rest)?,
                served: flags & SERVED != 0,
                header: flags & HEADER != 0,
                bytes: count,
            },
            REST => Self::Rest,
            REQUEST => {
                let way = way(&mut rest)?;
                let number = number(&mut rest)?;
                let wanted = self::number(&mut rest)?;
                Self::Request {
                    way,
                    number,
                    wants: (flags & WANTS != 0).then_some(wanted),
                }
            }
            HELD => Self::Held {
                number: number(&mut rest)?,
                channel: number(&mut rest)?,
                lasts: flags & LASTS != 0,
            },
            OVER => Self::Over(number(&mut rest)?),
            _ => return None,
        };
        let carries = matches!(message, Self::Client { .. } | Self::Rest);
        let is_whole = count == 0 || kind == CLIENT;
        (is_whole && (carries || rest.is_empty())).then_some((message, rest))
    }
}

fn number(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(u64::from_ne_bytes(*number))
}

fn way(from: &mut &[u8]) -> Option<Way> {
    Some(Way {
        peer: address(from)?,
        address: ip(from)?,
        local: ip(from)?,
        listener: address(from)?,
    })
}

fn address(from: &mut &[u8]) -> Option<Address> {
    let (bytes, rest) = from.split_at_checked(Address::ENCODED)?;
    *from = rest;
    Address::decode(bytes)
}

fn ip(from: &mut &[u8]) -> Option<Option<IpAddr>> {
    let (bytes, rest) = from.split_first_chunk::<IP>()?;
    *from = rest;
    let (family, bytes) = bytes.split_first()?;
    Some(match family {
        0 => None,
        4 => Some(IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?))),
        6 => Some(IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk::<16>()?))),
        _ => return None,
    })
}

/// Writes one part behind the other.
struct Writer {
    bytes: [u8; MOVED_LEN],
    at: usize,
}

impl Writer {
    fn put(&mut self, part: &[u8]) {
        let room = self.bytes.get_mut(self.at..).unwrap_or(&mut []);
        for (to, from) in room.iter_mut().zip(part) {
            *to = *from;
        }
        self.at += part.len();
    }

    fn base(&mut self, kind: u8, flags: u16, count: u32) {
        self.put(&[VERSION, kind]);
        self.put(&flags.to_ne_bytes());
        self.put(&count.to_ne_bytes());
    }

    fn way(&mut self, way: &Way) {
        self.address(&way.peer);
        self.ip(way.address);
        self.ip(way.local);
        self.address(&way.listener);
    }

    fn address(&mut self, address: &Address) {
        let mut bytes = [0; Address::ENCODED];
        address.encode(&mut bytes);
        self.put(&bytes);
    }

    fn ip(&mut self, ip: Option<IpAddr>) {
        let mut bytes = [0; IP];
        let mut fill = |family, octets: &[u8]| {
            let parts = core::iter::once(&family).chain(octets);
            for (to, from) in bytes.iter_mut().zip(parts) {
                *to = *from;
            }
        };
        match ip {
            None => {}
            Some(IpAddr::V4(v4)) => fill(4, &v4.octets()),
            Some(IpAddr::V6(v6)) => fill(6, &v6.octets()),
        }
        self.put(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Moved; 6] {
        let way = Way {
            peer: Address::new(&[7; 28]).unwrap(),
            address: Some("192.0.2.7".parse().unwrap()),
            local: Some("2001:db8::1".parse().unwrap()),
            listener: Address::new(b"\x01\0/run/app.sock").unwrap(),
        };
        let unnamed = Way {
            address: None,
            local: None,
            ..way
        };
        [
            Moved::Client {
                way,
                served: true,
                header: false,
                bytes: 70_000,
            },
            Moved::Client {
                way: unnamed,
                served: false,
                header: true,
                bytes: 0,
            },
            Moved::Rest,
            Moved::Request {
                way,
                number: u64::MAX,
                wants: Some(0),
            },
            Moved::Held {
                number: 1,
                channel: u64::MAX,
                lasts: true,
            },
            Moved::Over(3),
        ]
    }

    #[test]
    fn what_is_sent_is_read_with_what_follows() {
        for message in all() {
            let (bytes, len) = message.encode();
            let carries = matches!(message, Moved::Client { .. } | Moved::Rest);
            for behind in [&b""[..], b"GET / HT"] {
                let sent = [&bytes[..len], behind].concat();
                let read = Moved::decode(&sent);
                let is_whole = carries || behind.is_empty();
                assert_eq!(read, is_whole.then_some((message, behind)));
            }
        }
    }

    #[test]
    fn what_is_cut_or_unknown_is_refused() {
        for message in all() {
            let (bytes, len) = message.encode();
            for cut in 0..len {
                assert_eq!(Moved::decode(&bytes[..cut]), None, "{message:?} {cut}");
            }
            // Another version, another kind, a flag that nobody knows.
            for (at, value) in [(0, 2), (1, 9), (2, 0x80), (3, 0x80)] {
                let mut other = bytes;
                other[at] = value;
                assert_eq!(Moved::decode(&other[..len]), None, "{message:?} {at}");
            }
        }
    }
}
