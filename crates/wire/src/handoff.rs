//! What goes down a channel: connections, probes, and requests for connections; and what comes back.

/// Bytes of an encoded connection.
pub const HANDOFF_LEN: usize = 40;

/// Bytes of a probe. Of another length than a connection, so that the number of bytes which lie
/// in a channel tells how many of each there are.
pub const PROBE_LEN: usize = 1;

/// Bytes of a request for connections: neither those of a connection nor those of a probe.
pub const GIVE_BACK_LEN: usize = 5;

/// Bytes of the message that opens the way for connections that a worker closes: of a length of its own.
pub const PARK_LEN: usize = 3;

/// Where the message of a connection tells that it is a health check.
const CHECK_AT: usize = 3;

/// Bytes of the message that goes with a connection which a worker gives back.
pub const RETURNED_LEN: usize = 8;

/// Bytes of the message that ends the answer to a request for connections.
pub const STANDING_LEN: usize = 4;

/// What the name of a worker's end of a channel begins with, in the abstract namespace of Unix
/// sockets: a family, a zero byte, then this.
const NAME: &[u8] = b"maitred/channel/";

/// Bytes of the `sockaddr` that names a channel: family, zero byte, prefix, 32 digits.
pub const CHANNEL_NAME_LEN: usize = 2 + 1 + NAME.len() + 32;

/// The `sockaddr` that names the worker's end of channel `id`. A program that inherited a listener
/// is recognised by it. `nonce` is random: all users of a machine share the namespace, and could
/// take a name that they can foresee.
pub fn channel_name(id: u64, nonce: u64) -> [u8; CHANNEL_NAME_LEN] {
    let mut name = [0; CHANNEL_NAME_LEN];
    name[0] = 1; // AF_UNIX, below 256 on every system
    if cfg!(target_endian = "big") {
        name.swap(0, 1);
    }
    for (to, from) in name.iter_mut().skip(3).zip(NAME) {
        *to = *from;
    }
    let digits = u128::from(id) << 64 | u128::from(nonce);
    for (digit, to) in name.iter_mut().rev().take(32).enumerate() {
        let value = (digits >> (4 * digit)) as u8 & 15;
        *to = match value {
            0..=9 => b'0' + value,
            _ => b'a' + value - 10,
        };
    }
    name
}

/// The number of the channel that a `sockaddr` names; `None` if it names something else.
pub fn channel_id(sockaddr: &[u8]) -> Option<u64> {
    let digits = sockaddr.get(3 + NAME.len()..)?;
    if sockaddr.len() != CHANNEL_NAME_LEN {
        return None;
    }
    let mut number = 0u128;
    for digit in digits {
        number = number << 4 | u128::from(char::from(*digit).to_digit(16)?);
    }
    let (id, nonce) = ((number >> 64) as u64, number as u64);
    (channel_name(id, nonce) == sockaddr).then_some(id)
}

/// Marks the length of a peer address that does not fit: the library asks the kernel for it.
const ASK: u8 = u8::MAX;

/// How many bytes the server has read from a connection, and written to it, since it was accepted;
/// of larger numbers the lower half. The kernel counts the same, so that a worker which gets a
/// connection from another one can tell whether it has seen all that passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many it has read.
    pub read: u32,
    /// How many it has written.
    pub written: u32,
}

impl Passed {
    /// The message that goes with a connection which a worker gives back.
    pub fn encode(self) -> [u8; RETURNED_LEN] {
        let [a, b, c, d] = self.read.to_ne_bytes();
        let [e, f, g, h] = self.written.to_ne_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// Reads that message; `None` if it is none.
    pub fn decode(from: &[u8]) -> Option<Self> {
        if from.len() != RETURNED_LEN {
            return None;
        }
        Some(Self {
            read: u32::from_ne_bytes(*from.first_chunk()?),
            written: u32::from_ne_bytes(*from.last_chunk()?),
        })
    }
}

/// How a worker stands that has been asked for connections: it comes when those that are idle have
/// been given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// On how many connections a request is known to be in progress.
    pub busy: u32,
}

impl Standing {
    /// The message.
    pub fn encode(self) -> [u8; STANDING_LEN] {
        self.busy.to_ne_bytes()
    }

    /// Reads it; `None` if it is none.
    pub fn decode(from: &[u8]) -> Option<Self> {
        let bytes = from.first_chunk().filter(|_| from.len() == STANDING_LEN)?;
        Some(Self {
            busy: u32::from_ne_bytes(*bytes),
        })
    }
}

/// A message on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// An accepted connection; its descriptor goes along.
    Connection {
        /// The peer's `sockaddr`, padded with zeros.
        peer: [u8; 28],
        /// How many of its bytes count; `None` if the address did not fit.
        len: Option<u8>,
        /// Whether it is an end of a pair, whose peer the kernel knows by another name.
        pair: bool,
        /// What has passed over it before.
        passed: Passed,
    },
    /// No connection. Whoever takes it shows that its loop has turned; it is not to be seen by
    /// the program.
    Probe,
    /// The worker gives back connections on which no request is in progress, up to so many, over the
    /// socket that goes along: those that are idle now, and others as they become idle. After the
    /// first it says how it stands.
    GiveBack(u32),
    /// From now on the worker gives back, over the socket that goes along, each connection that its
    /// program closes while no request is in progress, instead of closing it: a [`crate::Parked`] each.
    /// One without a connection says that this has been understood.
    Park,
}

impl Handoff {
    /// A connection from `peer`, a `sockaddr` of any length.
    pub fn connection(peer: &[u8]) -> Self {
        let mut bytes = [0; 28];
        if peer.len() > bytes.len() {
            return Self::Connection {
                peer: bytes,
                len: None,
                pair: false,
                passed: Passed::default(),
            };
        }
        for (to, from) in bytes.iter_mut().zip(peer) {
            *to = *from;
        }
        Self::Connection {
            peer: bytes,
            len: Some(peer.len() as u8),
            pair: false,
            passed: Passed::default(),
        }
    }

    /// One end of a pair, which stands for a connection from `peer`.
    pub fn pair(peer: &[u8]) -> Self {
        match Self::connection(peer) {
            Self::Connection {
                peer, len, passed, ..
            } => Self::Connection {
                peer,
                len,
                pair: true,
                passed,
            },
            other => other,
        }
    }

    /// The message with one end of a pair, which is for this worker alone.
    pub fn check(peer: &[u8]) -> ([u8; HANDOFF_LEN], usize) {
        let (mut message, len) = Self::pair(peer).encode();
        message[CHECK_AT] = 1;
        (message, len)
    }

    /// Whether a message is one of [`Self::check`]; for the worker it is like any other.
    pub fn is_check(message: &[u8]) -> bool {
        message.len() == HANDOFF_LEN && message.get(CHECK_AT).is_some_and(|it| *it != 0)
    }

    /// The message, and how many of the bytes are sent.
    pub fn encode(&self) -> ([u8; HANDOFF_LEN], usize) {
        let mut to = [0; HANDOFF_LEN];
        match self {
            Self::Connection {
                peer,
                len,
                pair,
                passed,
            } => {
                to[0] = 1;
                to[1] = len.unwrap_or(ASK);
                to[2] = u8::from(*pair);
                let passed = passed.encode();
                for (to, from) in to.iter_mut().skip(4).zip(peer.iter().chain(&passed)) {
                    *to = *from;
                }
                (to, HANDOFF_LEN)
            }
            Self::Probe => (to, PROBE_LEN),
            Self::GiveBack(most) => {
                to[0] = 2;
                for (to, from) in to.iter_mut().skip(1).zip(most.to_ne_bytes()) {
                    *to = from;
                }
                (to, GIVE_BACK_LEN)
            }
            Self::Park => {
                to[0] = 3;
                (to, PARK_LEN)
            }
        }
    }

    /// Reads a message; `None` if it is none of these.
    pub fn decode(from: &[u8]) -> Option<Self> {
        if from.len() == PROBE_LEN {
            return Some(Self::Probe);
        }
        if from.len() == GIVE_BACK_LEN && *from.first()? == 2 {
            return Some(Self::GiveBack(u32::from_ne_bytes(*from.last_chunk()?)));
        }
        if from.len() == PARK_LEN && *from.first()? == 3 {
            return Some(Self::Park);
        }
        if from.len() != HANDOFF_LEN || *from.first()? != 1 {
            return None;
        }
        let peer = *from.get(4..)?.first_chunk()?;
        let len = match *from.get(1)? {
            ASK => None,
            len if len <= 28 => Some(len),
            _ => return None,
        };
        Some(Self::Connection {
            peer,
            len,
            pair: *from.get(2)? != 0,
            passed: Passed::decode(from.get(32..)?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_a_pair_for_the_worker() {
        let (message, len) = Handoff::check(&[2, 0, 1]);
        assert_eq!(
            Handoff::decode(&message[..len]),
            Some(Handoff::pair(&[2, 0, 1]))
        );
        assert!(Handoff::is_check(&message));
        for other in [Handoff::pair(&[2, 0, 1]), Handoff::connection(&[2, 0])] {
            assert!(!Handoff::is_check(&other.encode().0));
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for message in [
            Handoff::connection(&[2, 0, 1]),
            Handoff::connection(&[0; 110]),
            Handoff::pair(&[2, 0, 1]),
            Handoff::Probe,
            Handoff::GiveBack(7),
            Handoff::Park,
            Handoff::Connection {
                peer: [9; 28],
                len: Some(28),
                pair: false,
                passed: Passed {
                    read: 1,
                    written: u32::MAX,
                },
            },
        ] {
            let (bytes, len) = message.encode();
            assert_eq!(Handoff::decode(&bytes[..len]), Some(message));
        }
    }

    #[test]
    fn how_a_worker_stands_is_no_connection() {
        let standing = Standing { busy: 70_000 };
        let bytes = standing.encode();
        assert_eq!(Standing::decode(&bytes), Some(standing));
        assert_eq!(
            (Standing::decode(&bytes[1..]), Passed::decode(&bytes)),
            (None, None)
        );
        assert_eq!(Standing::decode(&Passed::default().encode()), None);
    }

    #[test]
    fn a_channel_is_known_by_its_whole_name() {
        let good = channel_name(255, 1);
        assert!(good.ends_with(b"maitred/channel/00000000000000ff0000000000000001"));
        assert_eq!(channel_id(&good), Some(255));
        assert_eq!(channel_id(&channel_name(u64::MAX, 0)), Some(u64::MAX));
        assert_eq!(channel_id(&channel_name(0, u64::MAX)), Some(0));
        for (at, byte) in [(0, 2), (2, 1), (3, b'M'), (34, b'F'), (34, b'g')] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(channel_id(&bad), None, "byte {at} = {byte}");
        }
        assert_eq!(channel_id(&good[..34]), None);
        assert_eq!(channel_id(&[]), None);
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(Handoff::decode(&[]), None);
        assert_eq!(Handoff::decode(&[0; HANDOFF_LEN]), None);
        assert_eq!(Handoff::decode(&[0; PARK_LEN]), None);
        assert_eq!(Handoff::decode(&[1; HANDOFF_LEN + 1]), None);
        let (mut bytes, _) = Handoff::connection(&[]).encode();
        bytes[1] = 29;
        assert_eq!(Handoff::decode(&bytes), None);
    }
}
