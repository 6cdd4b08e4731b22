//! Channels: the sockets over which connections go to workers.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use balance::{Channels, Last, Look, MemberId, Nanos, Refusal, Untaken};
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, getrlimit};
use wire::{HANDOFF_LEN, Handoff, PROBE_LEN, Passed, channel_name};

use super::counts::Counts;
use super::linger;
use super::oracle::Oracle;
use super::sock_diag::Endpoint;
use telemetry::figures::LoopSeenBy;

/// An accepted connection on its way to a worker.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    /// The message that goes with it: the peer's address.
    message: [u8; HANDOFF_LEN],
    /// What the kernel knows it by; none for one that cannot be counted.
    endpoint: Option<Endpoint>,
    /// How it lingers as soon as it is a worker's. With us it does not: our own `close` would wait.
    linger: Option<[u8; 8]>,
}

impl Connection {
    pub(crate) fn new(socket: OwnedFd, peer: &[u8], linger: Option<[u8; 8]>) -> Self {
        Self {
            message: Handoff::connection(peer).encode().0,
            endpoint: Endpoint::of(socket.as_fd(), peer),
            socket,
            linger,
        }
    }

    /// One that a worker has given back.
    pub(super) fn given_back(socket: OwnedFd, peer: &[u8], passed: Passed) -> Self {
        // As `accept` gives it; another runtime may want it otherwise.
        let _ = rustix::io::ioctl_fionbio(&socket, true);
        let message = match Handoff::connection(peer) {
            Handoff::Connection {
                peer, len, pair, ..
            } => Handoff::Connection {
                peer,
                len,
                pair,
                passed,
            },
            other => other,
        };
        Self::returned(socket, message.encode().0)
    }

    /// One that came back out of a channel.
    fn returned(socket: OwnedFd, message: [u8; HANDOFF_LEN]) -> Self {
        let endpoint = match Handoff::decode(&message) {
            Some(Handoff::Connection { peer, .. }) => Endpoint::of(socket.as_fd(), &peer),
            Some(Handoff::Probe | Handoff::GiveBack(_)) | None => None,
        };
        let linger = linger::of(&socket);
        if linger.is_some() {
            linger::set(&socket, None);
        }
        Self {
            socket,
            message,
            endpoint,
            linger,
        }
    }
}

/// What lies in a channel takes no descriptor, until it is taken back from a worker that has ended.
/// So where fewer than these may be open, no more than a handful may lie there.
const SHALLOW: u64 = 256;

/// One worker's channel.
#[derive(Debug)]
pub(crate) struct Channel {
    ours: OwnedFd,
    /// The kernel's number for the worker's end: what else a worker may show is not that.
    pub(super) cookie: u64,
    /// A copy of the worker's end: what it has not taken is taken back through it, and while it
    /// is open the channel lives on when the worker dies. None while processes unknown to us
    /// hold the channel: then its hang-up must tell when the last of them is gone.
    theirs: Option<OwnedFd>,
    pub(crate) oracle: Oracle,
    /// How many processes are known to accept from it.
    pub(super) acceptors: usize,
    /// Whether something was sent, and whether something was taken. Before that it is not known
    /// that the process which listened is the one that accepts: it may have forked others for it.
    sent: bool,
    taken: bool,
    /// What the kernel knows the connection by that was sent last.
    last: Option<Endpoint>,
}

impl Channel {
    /// A channel, and the end for the worker.
    pub(crate) fn new(id: MemberId) -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // Nothing is read from it: what lay there would be closed with it.
        sys::refuse_descriptors(ours.as_fd());
        if getrlimit(Resource::Nofile)
            .current
            .is_some_and(|it| it < SHALLOW)
        {
            // The kernel makes it as little as it allows.
            sockopt::set_socket_send_buffer_size(&ours, 0)?;
        }
        sys::bind_random(theirs.as_fd(), |nonce| channel_name(id.0, nonce))?;
        fill(theirs.as_fd())?;
        let channel = Self {
            ours,
            cookie: sockopt::socket_cookie(&theirs)?,
            theirs: Some(theirs.try_clone()?),
            oracle: Oracle::blind(),
            acceptors: 1,
            sent: false,
            taken: false,
            last: None,
        };
        Ok((channel, theirs))
    }

    pub(crate) fn ours(&self) -> BorrowedFd<'_> {
        self.ours.as_fd()
    }

    /// Gives up the copy of the worker's end. Whether anybody else still has one.
    pub(crate) fn release(&mut self) -> bool {
        self.theirs = None;
        !self.is_hung_up()
    }

    /// The ends that we have, with what may lie in them.
    pub(super) fn into_ends(self) -> impl Iterator<Item = OwnedFd> {
        [Some(self.ours), self.theirs].into_iter().flatten()
    }

    /// Wakes whoever holds the channel now, so that it accepts, and thereby tells of itself.
    pub(crate) fn call_heirs(&mut self) {
        self.oracle = Oracle::blind();
        let (message, len) = Handoff::Probe.encode();
        // A full channel wakes them as well.
        let _ = sys::send(self.ours(), message.get(..len).unwrap_or(&[]), None);
    }

    /// The inode of the channel, as long as we have a copy of the worker's end.
    pub(crate) fn inode(&self) -> Option<u64> {
        let theirs = self.theirs.as_ref()?;
        rustix::fs::fstat(theirs).ok().map(|stat| stat.st_ino)
    }

    /// Looks whether the worker's loop waits.
    fn look(&mut self) -> Look {
        let look = self.oracle.look();
        if look == Look::Away && !self.taken {
            self.taken = self.sent && self.untaken() == 0;
            if !self.taken {
                return Look::Unknown;
            }
        }
        look
    }

    /// How many bytes lie in the channel.
    fn untaken(&self) -> usize {
        self.theirs
            .as_ref()
            .and_then(|theirs| rustix::io::ioctl_fionread(theirs).ok())
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// How many connections lie in the channel.
    pub(super) fn connections(&self) -> usize {
        self.untaken() / HANDOFF_LEN
    }

    /// What tells whether the worker's loop is free.
    pub(super) fn seen_by(&mut self) -> LoopSeenBy {
        if self.oracle.is_readable() {
            LoopSeenBy::Kernel
        } else {
            LoopSeenBy::Taken
        }
    }

    /// Takes a new copy of the worker's end.
    pub(crate) fn hold(&mut self, theirs: OwnedFd) {
        self.theirs.get_or_insert(theirs);
    }

    fn is_hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(&self.ours, PollFlags::empty())];
        let now = Timespec::default();
        rustix::io::retry_on_intr(|| poll(&mut fds, Some(&now))).is_ok()
            && fds
                .first()
                .is_some_and(|fd| fd.revents().contains(PollFlags::HUP))
    }

    /// Whether a request for connections can be sent: the worker takes it without blocking, and it is
    /// the only message.
    pub(super) fn hears_requests(&self) -> bool {
        self.takes_probes() && self.untaken() == 0
    }

    /// Whether the worker accepts without blocking. If not, a probe could make it wait in an
    /// accept that was said not to block.
    pub(super) fn takes_probes(&self) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| {
            rustix::fs::fcntl_getfl(theirs)
                .is_ok_and(|flags| flags.contains(rustix::fs::OFlags::NONBLOCK))
        })
    }
}

/// All channels, and what the dispatcher's epoll knows of them.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) channels: HashMap<MemberId, Channel>,
    pub(super) counts: Counts,
    epoll: Arc<OwnedFd>,
    /// Makes an epoll event's data of a member.
    token: fn(MemberId) -> u64,
}

impl Workers {
    pub(super) fn new(epoll: Arc<OwnedFd>, counts: Counts, token: fn(MemberId) -> u64) -> Self {
        Self {
            channels: HashMap::new(),
            counts,
            epoll,
            token,
        }
    }

    /// Takes the oldest connection out of a member's channel, with its message, and any probe
    /// before it.
    pub(super) fn take_out(&self, member: MemberId) -> Option<(OwnedFd, [u8; HANDOFF_LEN])> {
        let theirs = self.channels.get(&member)?.theirs.as_ref()?;
        loop {
            // A connection that finds no free descriptor on its way back would be lost.
            drop(theirs.try_clone().ok()?);
            let mut message = [0; HANDOFF_LEN];
            match sys::receive(theirs.as_fd(), &mut message) {
                Ok((HANDOFF_LEN, Some(socket))) => return Some((socket, message)),
                Ok((PROBE_LEN, None)) => {}
                Ok((0, _)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Takes a channel into the epoll: from now on its hang-up is seen.
    pub(crate) fn add(&mut self, id: MemberId, channel: Channel) -> io::Result<()> {
        epoll::add(
            &*self.epoll,
            channel.ours(),
            epoll::EventData::new_u64((self.token)(id)),
            epoll::EventFlags::ET,
        )?;
        self.channels.insert(id, channel);
        Ok(())
    }
}

impl Channels for Workers {
    type Connection = Connection;

    fn look(&mut self, member: MemberId) -> Look {
        match self.channels.get_mut(&member) {
            Some(channel) => channel.look(),
            None => Look::Unknown,
        }
    }

    fn computed(&mut self, member: MemberId) -> Option<Nanos> {
        self.channels.get(&member)?.oracle.computed()
    }

    fn last(&mut self, member: MemberId) -> Last {
        let last = self.channels.get(&member).and_then(|it| it.last);
        last.map_or(Last::Unknown, |endpoint| self.counts.last(endpoint))
    }

    fn untaken(&mut self, member: MemberId) -> Untaken {
        let bytes = self.channels.get(&member).map_or(0, Channel::untaken);
        Untaken {
            connections: bytes / HANDOFF_LEN,
            probe: !bytes.is_multiple_of(HANDOFF_LEN),
        }
    }

    fn send(&mut self, member: MemberId, connection: Connection) -> Result<(), Connection> {
        let Some(channel) = self.channels.get_mut(&member) else {
            return Err(connection);
        };
        let socket = connection.socket.as_fd();
        if connection.linger.is_some() {
            linger::set(socket, connection.linger);
        }
        if sys::send(channel.ours(), &connection.message, Some(socket)).is_err() {
            if connection.linger.is_some() {
                linger::set(socket, None);
            }
            return Err(connection);
        }
        channel.sent = true;
        channel.last = connection.endpoint;
        self.counts.opened(connection.endpoint, member);
        Ok(())
    }

    fn take_back(&mut self, member: MemberId) -> Option<Connection> {
        let (socket, message) = self.take_out(member)?;
        let connection = Connection::returned(socket, message);
        if let Some(channel) = self.channels.get_mut(&member) {
            channel.last = None;
        }
        if let Some(endpoint) = connection.endpoint {
            self.counts.taken_back(endpoint);
        }
        Some(connection)
    }

    fn probe(&mut self, member: MemberId) -> bool {
        let (message, len) = Handoff::Probe.encode();
        let message = message.get(..len).unwrap_or(&[]);
        self.channels.get(&member).is_some_and(|channel| {
            channel.takes_probes() && sys::send(channel.ours(), message, None).is_ok()
        })
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        // The kernel tells a sender that there is room again whenever something is taken.
        let flags = if on {
            epoll::EventFlags::ET | epoll::EventFlags::OUT
        } else {
            epoll::EventFlags::ET
        };
        if let Some(channel) = self.channels.get(&member) {
            // Of a descriptor that is in the epoll this cannot fail.
            let _ = epoll::modify(
                &*self.epoll,
                channel.ours(),
                epoll::EventData::new_u64((self.token)(member)),
                flags,
            );
        }
    }

    fn refuse(&mut self, connection: Connection, _why: Refusal) {
        drop(connection);
    }
}

/// Fills what the worker could write into, which nobody reads. A listener is never writable, and
/// a loop that asks for it all the same would spin.
fn fill(theirs: BorrowedFd<'_>) -> io::Result<()> {
    rustix::net::sockopt::set_socket_send_buffer_size(theirs, 0)?;
    loop {
        match sys::send(theirs, &[0], None) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn workers() -> (Workers, MemberId, OwnedFd) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = MemberId(u64::from(std::process::id()) << 24 | next);
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        let counts = Counts::new(epoll.clone(), 0, super::super::counts::Need::Ties);
        let mut workers = Workers::new(epoll, counts, |id| id.0);
        let (channel, theirs) = Channel::new(id).unwrap();
        rustix::io::ioctl_fionbio(&theirs, true).unwrap();
        workers.add(id, channel).unwrap();
        (workers, id, theirs)
    }

    fn connection() -> Connection {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        Connection::new(socket, &[2, 0], None)
    }

    #[test]
    fn what_is_not_taken_comes_back_in_order_and_leaves_nothing() {
        let (mut workers, id, theirs) = workers();
        let sockets: Vec<_> = (0..3)
            .map(|_| {
                let connection = connection();
                let cookie = sockopt::socket_cookie(&connection.socket).unwrap();
                workers.send(id, connection).unwrap();
                cookie
            })
            .collect();
        assert!(workers.probe(id));
        let untaken = |connections, probe| Untaken { connections, probe };
        assert_eq!(workers.untaken(id), untaken(3, true));
        let mut message = [0; HANDOFF_LEN];
        let (_, taken) = sys::receive(theirs.as_fd(), &mut message).unwrap();
        assert!(taken.is_some());
        assert_eq!(workers.untaken(id), untaken(2, true));
        let back = std::iter::from_fn(|| workers.take_back(id));
        let back: Vec<_> = back
            .map(|c| sockopt::socket_cookie(&c.socket).unwrap())
            .collect();
        assert_eq!(back, sockets[1..]);
        assert_eq!(workers.untaken(id), untaken(0, false));
    }

    #[test]
    fn a_full_channel_gives_the_connection_back() {
        let (mut workers, id, _theirs) = workers();
        let mut sent = 0;
        while workers.send(id, connection()).is_ok() {
            sent += 1;
            assert!(sent < 10_000);
        }
        assert_eq!(workers.untaken(id).connections, sent);
        assert!(workers.take_back(id).is_some());
        assert!(workers.send(id, connection()).is_ok());
    }

    #[test]
    fn a_blocking_listener_gets_no_probe() {
        let (mut workers, id, theirs) = workers();
        rustix::io::ioctl_fionbio(&theirs, false).unwrap();
        assert!(!workers.probe(id));
    }

    #[test]
    fn a_channel_is_not_writable_for_the_worker() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let (mut workers, id, theirs) = workers();
        let mut fds = [PollFd::new(&theirs, PollFlags::IN | PollFlags::OUT)];
        assert_eq!(poll(&mut fds, Some(&Timespec::default())).unwrap(), 0);
        assert!(workers.send(id, connection()).is_ok());
        assert_eq!(poll(&mut fds, Some(&Timespec::default())).unwrap(), 1);
        assert_eq!(fds[0].revents(), PollFlags::IN);
    }

    #[test]
    fn a_channel_without_holders_hangs_up() {
        let (mut workers, id, theirs) = workers();
        let channel = workers.channels.get_mut(&id).unwrap();
        assert!(channel.release());
        drop(theirs);
        assert!(!channel.release());
    }
}
