//! What the library asks at the door, and what it is answered.

use crate::{Address, VERSION};

/// Bytes of an encoded [`Request`].
pub const REQUEST_LEN: usize = 32 + Address::ENCODED;

/// Bytes of an encoded [`Reply`].
pub const REPLY_LEN: usize = 16 + Address::ENCODED;

/// What the library wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verb {
    /// "I am loaded." Sent once by each direct child of the supervisor; not answered.
    Hello = 1,
    /// `bind`: the socket goes along, the address is the one asked for.
    Bind = 2,
    /// `listen`: the socket goes along, the address is what an earlier `Bind` was answered
    /// [`Outcome::Shared`] for, `arg` the backlog.
    Listen = 3,
    /// `setsockopt` on a channel: it goes along, `arg` is the level, `arg2` the option, the
    /// address field carries the value.
    SetOption = 4,
    /// `getsockopt` on a channel: likewise; the value comes back in the address field.
    GetOption = 5,
    /// `close` of a channel: `channel` names it. Not answered.
    Close = 6,
    /// A process that did not ask for this channel (it was inherited or passed on) wants to know
    /// what it stands for: the channel goes along. Answered with the listener's address. `arg2` is 1
    /// if the process begins to accept from it, or another thread of the one that asked for it
    /// does; then another channel may come along, which takes its place in this process. `arg` is 1
    /// if other threads of the process accept from it too.
    Adopt = 7,
    /// `bind` of a datagram socket, which the kernel has refused as in use: the socket goes along,
    /// the address is the one asked for.
    ShareDatagrams = 8,
    /// `unlink` of a Unix socket's path: `channel` is its inode, `arg` and `arg2` the lower and the
    /// upper half of its device. Answered [`Outcome::Done`] where others share the path: then it
    /// stays, and the call returns 0.
    Remove = 9,
    /// `getsockname` of a TCP socket without a port, which another process may have bound in pretence
    /// and passed on: it goes along. Answered [`Outcome::Done`] with the address, or [`Outcome::Native`].
    Name = 10,
}

impl Verb {
    fn decode(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Bind,
            3 => Self::Listen,
            4 => Self::SetOption,
            5 => Self::GetOption,
            6 => Self::Close,
            7 => Self::Adopt,
            8 => Self::ShareDatagrams,
            9 => Self::Remove,
            10 => Self::Name,
            _ => return None,
        })
    }
}

/// One question at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is wanted.
    pub verb: Verb,
    /// Whether a `node:cluster` primary forked this process: it shares what it binds to port 0.
    pub cluster_worker: bool,
    /// The instance that the process belongs to, from [`crate::INSTANCE_VAR`].
    pub instance: u32,
    /// The thread that asks.
    pub tid: i32,
    /// The descriptor's number in the asking process.
    pub fd: i32,
    /// Backlog, or level of an option.
    pub arg: i32,
    /// Name of an option.
    pub arg2: i32,
    /// The channel meant, for [`Verb::Close`].
    pub channel: u64,
    /// An address, or the value of an option.
    pub address: Address,
}

impl Request {
    /// The request as it goes over the socket.
    pub fn encode(&self) -> [u8; REQUEST_LEN] {
        let mut to = [0; REQUEST_LEN];
        put(&mut to, 0, &VERSION.to_ne_bytes());
        put(
            &mut to,
            2,
            &[self.verb as u8, u8::from(self.cluster_worker)],
        );
        put(&mut to, 4, &self.instance.to_ne_bytes());
        put(&mut to, 8, &self.tid.to_ne_bytes());
        put(&mut to, 12, &self.fd.to_ne_bytes());
        put(&mut to, 16, &self.arg.to_ne_bytes());
        put(&mut to, 20, &self.arg2.to_ne_bytes());
        put(&mut to, 24, &self.channel.to_ne_bytes());
        if let Some(rest) = to.get_mut(32..) {
            self.address.encode(rest);
        }
        to
    }

    /// Reads a request; `None` if it is of another version, length or kind.
    pub fn decode(from: &[u8]) -> Option<Self> {
        if from.len() != REQUEST_LEN || u16::from_ne_bytes(take(from, 0)?) != VERSION {
            return None;
        }
        Some(Self {
            verb: Verb::decode(*from.get(2)?)?,
            cluster_worker: *from.get(3)? != 0,
            instance: u32::from_ne_bytes(take(from, 4)?),
            tid: i32::from_ne_bytes(take(from, 8)?),
            fd: i32::from_ne_bytes(take(from, 12)?),
            arg: i32::from_ne_bytes(take(from, 16)?),
            arg2: i32::from_ne_bytes(take(from, 20)?),
            channel: u64::from_ne_bytes(take(from, 24)?),
            address: Address::decode(from.get(32..)?)?,
        })
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; the call returns 0.
    Done,
    /// The call fails with this error number.
    Failed(i32),
    /// The door has no say in this: make the plain system call.
    Native,
    /// `bind` only: the address is shared with other workers; pretend that it is bound.
    Shared,
    /// `listen` and `Adopt`: a channel takes the listener's place. For `listen` it comes along, for
    /// `Adopt` where the process gets one of its own.
    Channel,
    /// `ShareDatagrams`: another instance's socket comes along, and takes the place of this one.
    Datagrams,
}

/// The answer to a [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// The channel's number, with [`Outcome::Channel`].
    pub channel: u64,
    /// The listener's address, or the value of an option.
    pub address: Address,
}

impl Reply {
    /// An answer that is no more than its outcome.
    pub fn plain(outcome: Outcome) -> Self {
        Self {
            outcome,
            channel: 0,
            address: Address::NONE,
        }
    }

    /// The reply as it goes over the socket.
    pub fn encode(&self) -> [u8; REPLY_LEN] {
        let (kind, errno) = match self.outcome {
            Outcome::Done => (1, 0),
            Outcome::Failed(errno) => (2, errno),
            Outcome::Native => (3, 0),
            Outcome::Shared => (4, 0),
            Outcome::Channel => (5, 0),
            Outcome::Datagrams => (6, 0),
        };
        let mut to = [0; REPLY_LEN];
        put(&mut to, 0, &VERSION.to_ne_bytes());
        put(&mut to, 2, &[kind]);
        put(&mut to, 4, &i32::to_ne_bytes(errno));
        put(&mut to, 8, &self.channel.to_ne_bytes());
        if let Some(rest) = to.get_mut(16..) {
            self.address.encode(rest);
        }
        to
    }

    /// Reads a reply; `None` if it is of another version, length or kind.
    pub fn decode(from: &[u8]) -> Option<Self> {
        if from.len() != REPLY_LEN || u16::from_ne_bytes(take(from, 0)?) != VERSION {
            return None;
        }
        let outcome = match *from.get(2)? {
            1 => Outcome::Done,
            2 => Outcome::Failed(i32::from_ne_bytes(take(from, 4)?)),
            3 => Outcome::Native,
            4 => Outcome::Shared,
            5 => Outcome::Channel,
            6 => Outcome::Datagrams,
            _ => return None,
        };
        Some(Self {
            outcome,
            channel: u64::from_ne_bytes(take(from, 8)?),
            address: Address::decode(from.get(16..)?)?,
        })
    }
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = to.get_mut(at..) {
        for (to, from) in to.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
}

fn take<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            verb: Verb::Listen,
            cluster_worker: true,
            instance: 7,
            tid: -1,
            fd: 3,
            arg: 511,
            arg2: -9,
            channel: u64::MAX,
            address: Address::new(&[9; 28]).unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Request::decode(&request().encode()), Some(request()));
        for outcome in [
            Outcome::Done,
            Outcome::Failed(98),
            Outcome::Native,
            Outcome::Shared,
            Outcome::Channel,
            Outcome::Datagrams,
        ] {
            let reply = Reply {
                outcome,
                channel: 5,
                address: Address::new(b"abc").unwrap(),
            };
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let good = request().encode();
        assert_eq!(Request::decode(&good[1..]), None);
        assert_eq!(Request::decode(&[]), None);
        for (at, byte) in [(0, 99), (2, 0), (2, 11), (32, 111), (32, 255)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(Request::decode(&bad), None, "byte {at} = {byte}");
        }
        let mut reply = Reply::plain(Outcome::Done).encode();
        reply[2] = 77;
        assert_eq!(Reply::decode(&reply), None);
    }
}
