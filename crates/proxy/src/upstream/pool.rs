//! Pairs: connections to workers, those in use and those that wait to be used again.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use balance::{MemberId, Nanos};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::downstream::client::Peer;
use crate::link::Link;
use crate::slab::Key;

/// An idle pair is left after this, unless its worker says that it leaves it sooner: before the
/// five seconds after which Node's servers do.
const IDLE: Duration = Duration::from_secs(4);

/// How many idle pairs a worker may have.
const MOST_IDLE: usize = 1024;

/// How many of them may be for one client connection alone.
const MOST_BOUND: usize = 16;

/// Where a request comes from, as exactly as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client's connection; for a stream, that of its session.
    pub(crate) connection: Key,
    /// The client that the request's fields name, as a hash of them. `None` where the connection
    /// is a balancer's, which does not say whose request this is.
    pub(crate) named: Option<u64>,
}

/// What a worker sees of a connection: the address of its client, and the one that the client
/// connected to where the listener has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) local: Option<IpAddr>,
}

/// One connection to a worker.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) link: Link,
    /// What its ends are named by.
    pub(crate) number: u64,
    pub(crate) member: MemberId,
    /// Whose requests it carries.
    pub(crate) ends: Ends,
    /// A request with a body has gone over it, and came from there. Its worker may have answered
    /// without reading the body, and take it for a request: that answer must reach no one else.
    /// (That the kernel holds no unread bytes proves nothing: a buffered reader has them.)
    pub(crate) bound: Option<Origin>,
    /// The client whose request it carries now.
    pub(crate) client: Option<Key>,
    /// Its worker is greeted in TLS over it, and asked nothing else: as if this client had connected.
    pub(crate) greeting: Option<Peer>,
    /// When it is to be left, while it is idle.
    pub(crate) leave_at: Nanos,
    /// When it was handed to the worker.
    pub(crate) handed_at: Nanos,
    /// When the head of a request was last sent over it.
    pub(crate) asked_at: Nanos,
    /// That has been done; if not, it will be at the end of the turn.
    pub(crate) is_asked: bool,
}

/// What the proxy keeps of one worker.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) gate: u64,
    /// Those that are empty stay until [`Self::tidy`]: most clients come again before that.
    idle: HashMap<Ends, Vec<Key>>,
    /// Idle pairs that are bound, by the client connection that each is for.
    bound: HashMap<Key, Vec<(u64, Key)>>,
    idle_count: usize,
    /// Pairs that lie in its channel, oldest first, as far as is known.
    pub(crate) untaken: VecDeque<Key>,
    /// The pair that it was last sent something over.
    pub(crate) last: Option<Key>,
}

impl Desk {
    pub(crate) fn new(gate: u64) -> Self {
        Self {
            gate,
            idle: HashMap::new(),
            bound: HashMap::new(),
            idle_count: 0,
            untaken: VecDeque::new(),
            last: None,
        }
    }

    /// The idle pair for this client that was used last, one that is bound to it first.
    pub(crate) fn take(&mut self, ends: Ends, origin: Origin) -> Option<Key> {
        let key = self
            .take_bound(origin)
            .or_else(|| self.idle.get_mut(&ends)?.pop())?;
        self.idle_count -= 1;
        Some(key)
    }

    fn take_bound(&mut self, origin: Origin) -> Option<Key> {
        if self.bound.is_empty() {
            return None;
        }
        let named = origin.named?;
        let pairs = self.bound.get_mut(&origin.connection)?;
        let at = pairs.iter().rposition(|(other, _)| *other == named)?;
        Some(pairs.remove(at).1)
    }

    /// Forgets clients that have no idle pair. To be called now and then.
    pub(crate) fn tidy(&mut self) {
        self.idle.retain(|_, idle| !idle.is_empty());
        self.bound.retain(|_, bound| !bound.is_empty());
    }

    /// Keeps a pair for later; `false` if there are enough, or nothing may be sent over it again.
    pub(crate) fn keep(&mut self, pair: &Pair, key: Key) -> bool {
        if self.idle_count >= MOST_IDLE {
            return false;
        }
        match pair.bound {
            None => self.idle.entry(pair.ends).or_default().push(key),
            Some(Origin {
                connection,
                named: Some(named),
            }) => {
                let pairs = self.bound.entry(connection).or_default();
                if pairs.len() >= MOST_BOUND {
                    return false;
                }
                pairs.push((named, key));
            }
            Some(Origin { named: None, .. }) => return false,
        }
        self.idle_count += 1;
        true
    }

    /// Forgets an idle pair.
    pub(crate) fn forget(&mut self, pair: &Pair, key: Key) {
        let removed = match pair.bound {
            None => self.idle.get_mut(&pair.ends).and_then(|idle| {
                let at = idle.iter().position(|other| *other == key)?;
                Some(idle.remove(at))
            }),
            Some(origin) => self.bound.get_mut(&origin.connection).and_then(|bound| {
                let at = bound.iter().position(|(_, other)| *other == key)?;
                Some(bound.remove(at).1)
            }),
        };
        self.idle_count -= usize::from(removed.is_some());
    }

    /// Forgets the idle pairs that are for this client connection alone.
    pub(crate) fn forget_bound(&mut self, connection: Key) -> Vec<Key> {
        let pairs = self.bound.remove(&connection).unwrap_or_default();
        self.idle_count -= pairs.len();
        pairs.into_iter().map(|(_, key)| key).collect()
    }

    /// All idle pairs.
    pub(crate) fn idle(&self) -> impl Iterator<Item = Key> + '_ {
        let bound = self.bound.values().flatten().map(|(_, key)| *key);
        self.idle.values().flatten().copied().chain(bound)
    }
}

/// How long an idle pair may be kept, if its worker says that it keeps it for so many seconds.
pub(crate) fn keep_for(said: Option<u64>) -> Duration {
    said.map_or(IDLE, |seconds| {
        // In doubt a fresh one is better: it costs microseconds.
        (Duration::from_secs(seconds) / 2).min(IDLE)
    })
}

/// Makes a pair: our end, and the one for the worker, which sees `peer` on the other side and
/// `local` on its own. Both are the bytes of a `sockaddr`.
pub(crate) fn make(number: u64, peer: &[u8], local: &[u8]) -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    let name = |nonce, end, address| wire::pair_name(2 * number + end, nonce, address);
    sys::bind_random(ours.as_fd(), |nonce| name(nonce, 0, peer))?;
    sys::bind_random(theirs.as_fd(), |nonce| name(nonce, 1, local))?;
    Ok((ours, theirs))
}

/// The number of the pair that this is the worker's end of.
pub(crate) fn number_of(theirs: &OwnedFd) -> Option<u64> {
    let name = sys::local_address(theirs.as_fd()).ok()?;
    Some(wire::pair_address(name.as_bytes())?.0 / 2)
}
