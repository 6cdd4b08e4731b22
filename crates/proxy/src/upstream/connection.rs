//! Connections to workers: each is a Unix socket pair, whose other end went down a worker's channel
//! and stands there for a client's connection.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use balance::{MemberId, Nanos};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::downstream::peer::Peer;
use crate::link::Link;
use crate::slab::Key;

/// An idle connection is left after this, unless its worker says that it leaves it sooner: before the
/// five seconds after which Node's servers do.
const IDLE: Duration = Duration::from_secs(4);

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
pub(crate) struct UpstreamConnection {
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
    /// It was made so that its request could be taken back. One of them is kept for each client, or
    /// a worker that is never idle would have one more with each request.
    pub(crate) was_staged: bool,
    /// When the proxy closes it, while it is idle.
    pub(crate) leave_at: Nanos,
    /// When it was handed to the worker.
    pub(crate) handed_at: Nanos,
    /// When the head of a request was last sent over it.
    pub(crate) asked_at: Nanos,
    /// That has been done; if not, it will be at the end of the turn.
    pub(crate) is_asked: bool,
}

/// How long an idle connection may be kept. `said` is the number of seconds that its worker keeps it,
/// where it tells.
pub(crate) fn keep_for(said: Option<u64>) -> Duration {
    said.map_or(IDLE, |seconds| {
        // In doubt a fresh one is better: it costs microseconds.
        (Duration::from_secs(seconds) / 2).min(IDLE)
    })
}

/// Makes a socket pair: our end, and the one for the worker, which sees `peer` on the other side and
/// `local` on its own. Both are the bytes of a `sockaddr`.
pub fn make(number: u64, peer: &[u8], local: &[u8]) -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    sys::refuse_descriptors(ours.as_fd());
    let name = |nonce, end, address| wire::pair_name(2 * number + end, nonce, address);
    sys::bind_random(ours.as_fd(), |nonce| name(nonce, 0, peer))?;
    sys::bind_random(theirs.as_fd(), |nonce| name(nonce, 1, local))?;
    Ok((ours, theirs))
}

/// The number of the connection that this is the worker's end of.
pub(crate) fn number_of(theirs: &OwnedFd) -> Option<u64> {
    let name = sys::local_address(theirs.as_fd()).ok()?;
    Some(wire::pair_address(name.as_bytes())?.0 / 2)
}
