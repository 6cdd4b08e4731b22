//! What goes down a channel: connections, and probes.

/// Bytes of an encoded connection.
pub const HANDOFF_LEN: usize = 32;

/// Bytes of a probe. Of another length than a connection, so that the number of bytes which lie
/// in a channel tells how many of each there are.
pub const PROBE_LEN: usize = 1;

/// Marks the length of a peer address that does not fit: the library asks the kernel for it.
const ASK: u8 = u8::MAX;

/// A message on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handoff {
    /// An accepted connection; its descriptor goes along.
    Connection {
        /// The peer's `sockaddr`, padded with zeros.
        peer: [u8; 28],
        /// How many of its bytes count; `None` if the address did not fit.
        len: Option<u8>,
    },
    /// No connection. Whoever takes it shows that its loop has turned; it is not to be seen by
    /// the program.
    Probe,
}

impl Handoff {
    /// A connection from `peer`, a `sockaddr` of any length.
    pub fn connection(peer: &[u8]) -> Self {
        let mut bytes = [0; 28];
        if peer.len() > bytes.len() {
            return Self::Connection {
                peer: bytes,
                len: None,
            };
        }
        for (to, from) in bytes.iter_mut().zip(peer) {
            *to = *from;
        }
        Self::Connection {
            peer: bytes,
            len: Some(peer.len() as u8),
        }
    }

    /// The message, and how many of the bytes are sent.
    pub fn encode(&self) -> ([u8; HANDOFF_LEN], usize) {
        let mut to = [0; HANDOFF_LEN];
        match self {
            Self::Connection { peer, len } => {
                to[0] = 1;
                to[1] = len.unwrap_or(ASK);
                for (to, from) in to.iter_mut().skip(4).zip(peer) {
                    *to = *from;
                }
                (to, HANDOFF_LEN)
            }
            Self::Probe => (to, PROBE_LEN),
        }
    }

    /// Reads a message; `None` if it is none of these.
    pub fn decode(from: &[u8]) -> Option<Self> {
        if from.len() == PROBE_LEN {
            return Some(Self::Probe);
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
        Some(Self::Connection { peer, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for message in [
            Handoff::connection(&[2, 0, 1]),
            Handoff::connection(&[0; 110]),
            Handoff::Probe,
        ] {
            let (bytes, len) = message.encode();
            assert_eq!(Handoff::decode(&bytes[..len]), Some(message));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(Handoff::decode(&[]), None);
        assert_eq!(Handoff::decode(&[0; HANDOFF_LEN]), None);
        assert_eq!(Handoff::decode(&[1; HANDOFF_LEN + 1]), None);
        let (mut bytes, _) = Handoff::connection(&[]).encode();
        bytes[1] = 29;
        assert_eq!(Handoff::decode(&bytes), None);
    }
}
