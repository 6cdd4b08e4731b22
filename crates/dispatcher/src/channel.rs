//! Channels: the sockets over which connections go to workers.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use balance::{Look, MemberId};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};
use wire::{HANDOFF_LEN, Handoff, PROBE_LEN, channel_name};

use super::endpoint::Endpoint;
use super::loop_probe::LoopProbe;
use telemetry::figures::LoopSeenBy;

/// What lies in a channel takes no descriptor, until it is taken back from a worker that has ended.
/// So where fewer than these may be open, no more than a handful may lie there.
const SHALLOW: u64 = 256;

/// Which thread shows whether a worker's loop waits, and which listener it has there.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct Watched {
    pub(super) pid: i32,
    pub(super) tid: i32,
    pub(super) listener: i32,
    pub(super) inode: u64,
}

/// A message with the descriptor that goes along.
type Message = (OwnedFd, [u8; HANDOFF_LEN]);

/// One worker's channel.
#[derive(Debug)]
pub(crate) struct Channel {
    ours: OwnedFd,
    /// The kernel's number for the worker's end: what else a worker may show is not that.
    pub(super) cookie: u64,
    /// A copy of the worker's end: what it has not taken is taken back through it, and while it
    /// is open the channel lives on when the worker dies. None while processes unknown to us
    /// hold the channel: then its hang-up must tell when the last of them is gone.
    pub(super) theirs: Option<OwnedFd>,
    pub(crate) loop_probe: LoopProbe,
    /// How many processes are known to accept from it.
    pub(super) acceptors: usize,
    /// Something was taken. Before that it is not known that the process which listened is the one
    /// that accepts: it may have forked others for it.
    is_used: bool,
    /// How many bytes were put into it, less those that were taken back.
    put: u64,
    /// Until the worker has taken so many bytes, a health check is in the channel.
    check: Option<u64>,
    /// Its worker may stand still, and what lies in the channel shows whether it does.
    pub(super) is_watched: bool,
    /// What the kernel knows the connection by that was sent last.
    pub(super) last: Option<Endpoint>,
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
            loop_probe: LoopProbe::blind(),
            acceptors: 1,
            is_used: false,
            put: 0,
            check: None,
            is_watched: false,
            last: None,
        };
        Ok((channel, theirs))
    }

    /// The channel of a worker that another supervisor has had.
    pub(super) fn restored(
        ours: OwnedFd,
        theirs: Option<OwnedFd>,
        cookie: u64,
        watched: Option<Watched>,
        acceptors: usize,
    ) -> Self {
        let loop_probe = match watched {
            Some(it) => LoopProbe::new(it.pid, it.tid, it.listener, it.inode),
            None => LoopProbe::blind(),
        };
        Self {
            ours,
            cookie,
            theirs,
            loop_probe,
            acceptors,
            // It has served before.
            is_used: true,
            put: 0,
            check: None,
            is_watched: false,
            last: None,
        }
    }

    /// Takes all connections out of a channel that another supervisor has filled. Its probes and checks are
    /// dropped.
    pub(super) fn empty(&mut self) -> Vec<Message> {
        let mut taken = Vec::new();
        while let Some(theirs) = &self.theirs
            // A connection that finds no free descriptor on its way back would be lost.
            && theirs.try_clone().is_ok()
        {
            let mut message = [0; HANDOFF_LEN];
            match sys::receive(theirs.as_fd(), &mut message) {
                Ok((HANDOFF_LEN, Some(socket))) if !Handoff::is_check(&message) => {
                    taken.push((socket, message));
                }
                Ok((1.., _)) => {}
                Ok((0, _)) | Err(_) => break,
            }
        }
        self.put = u64::try_from(self.untaken()).unwrap_or(0);
        taken
    }

    /// Leaves in the channel what another supervisor has put there: it has the other ends, and knows of it.
    pub(super) fn keep_untaken(&mut self) {
        self.put = u64::try_from(self.untaken()).unwrap_or(0);
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
        self.loop_probe = LoopProbe::blind();
        let (message, len) = Handoff::Probe.encode();
        // A full channel wakes them as well.
        let _ = self.put(message.get(..len).unwrap_or(&[]), None);
    }

    /// Wakes a process that accepts from the channel, if that does not block; returns whether it was
    /// called. Its accept takes the probe away. Where the kernel wakes one process at a time, each call
    /// wakes another one.
    pub(super) fn call(&mut self) -> bool {
        if !self.takes_probes() {
            return false;
        }
        if let Some(theirs) = &self.theirs {
            let mut message = [0; HANDOFF_LEN];
            while let Ok((PROBE_LEN, None)) = sys::receive(theirs.as_fd(), &mut message) {
                let len = PROBE_LEN as u64;
                self.put = self.put.wrapping_sub(len);
                self.check = self.check.map(|at| at.saturating_sub(len));
            }
        }
        self.probe()
    }

    /// Whether the probe of [`Self::call`] was taken.
    pub(super) fn has_answered(&self) -> bool {
        self.takes_probes() && self.untaken() == 0
    }

    /// A copy of the worker's end.
    pub(super) fn copy(&self) -> Option<OwnedFd> {
        self.theirs.as_ref()?.try_clone().ok()
    }

    /// The inode of the channel, as long as we have a copy of the worker's end.
    pub(crate) fn inode(&self) -> Option<u64> {
        let theirs = self.theirs.as_ref()?;
        rustix::fs::fstat(theirs).ok().map(|stat| stat.st_ino)
    }

    /// Looks whether the worker's loop waits.
    pub(super) fn look(&mut self) -> Look {
        let look = self.loop_probe.look();
        if look == Look::Away && !self.is_used {
            self.is_used = self.taken().is_some_and(|bytes| bytes > 0);
            if !self.is_used {
                return Look::Unknown;
            }
        }
        look
    }

    /// Looks whether the worker's loop stands still. Where nothing was ever taken, another process
    /// may be the one that accepts; and one whose `accept` blocks waits for its client at times.
    pub(super) fn look_closely(&mut self) -> Look {
        match self.loop_probe.look_closely() {
            Look::Away if !self.takes_probes() || self.taken() == Some(0) => Look::Unknown,
            look => look,
        }
    }

    /// How many bytes the worker has taken, as long as that can be told.
    pub(super) fn taken(&self) -> Option<u64> {
        self.theirs.as_ref()?;
        let lie = u64::try_from(self.untaken()).unwrap_or(0);
        Some(self.put.wrapping_sub(lie))
    }

    /// Puts a message into the channel.
    pub(super) fn put(&mut self, message: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        sys::send(self.ours(), message, fd)?;
        self.put = self.put.wrapping_add(message.len() as u64);
        Ok(())
    }

    /// Puts a health check into the channel, in which there is none.
    pub(super) fn put_check(&mut self, message: &[u8], fd: BorrowedFd<'_>) -> io::Result<()> {
        self.put(message, Some(fd))?;
        self.check = Some(self.put);
        Ok(())
    }

    /// Whether a health check is in the channel.
    pub(super) fn has_check(&self) -> bool {
        self.has_check_of(self.untaken())
    }

    /// The same, for a channel with so many bytes in it.
    fn has_check_of(&self, bytes: usize) -> bool {
        let lie = u64::try_from(bytes).unwrap_or(0);
        self.check.is_some_and(|at| self.put.wrapping_sub(lie) < at)
    }

    /// Something has come back out of the channel from before what lies there still.
    fn came_back(&mut self, len: usize) {
        self.put = self.put.wrapping_sub(len as u64);
        // Of one that was taken long ago there may be no more left.
        self.check = self.check.map(|at| at.saturating_sub(len as u64));
    }

    /// Puts a probe into the channel, if the worker can have one.
    pub(super) fn probe(&mut self) -> bool {
        let (message, len) = Handoff::Probe.encode();
        self.takes_probes() && self.put(message.get(..len).unwrap_or(&[]), None).is_ok()
    }

    /// Takes the oldest connection back, with its message, and any probe before it. A health check is
    /// for this worker alone, and stays.
    pub(super) fn take_back(&mut self) -> Option<Message> {
        let mut check = None;
        let taken = self.take_back_beside(&mut check);
        if let Some((socket, message)) = check {
            // What was taken out has left room for it.
            let _ = self.put_check(&message, socket.as_fd());
        }
        if taken.is_none() && self.is_watched {
            // Nothing else is left that would show whether the worker's loop turns.
            self.probe();
        }
        taken
    }

    fn take_back_beside(&mut self, check: &mut Option<Message>) -> Option<Message> {
        loop {
            let theirs = self.theirs.as_ref()?;
            // A connection that finds no free descriptor on its way back would be lost.
            drop(theirs.try_clone().ok()?);
            let mut message = [0; HANDOFF_LEN];
            let Ok((len @ 1.., socket)) = sys::receive(theirs.as_fd(), &mut message) else {
                return None;
            };
            self.came_back(len);
            if let (HANDOFF_LEN, Some(socket)) = (len, socket) {
                if !Handoff::is_check(&message) {
                    return Some((socket, message));
                }
                self.check = None;
                *check = Some((socket, message));
            }
        }
    }

    /// How many bytes lie in the channel.
    pub(super) fn untaken(&self) -> usize {
        self.theirs
            .as_ref()
            .and_then(|theirs| rustix::io::ioctl_fionread(theirs).ok())
            .map_or(0, |bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// How many connections of clients lie in the channel, and whether something else does.
    pub(super) fn lies(&self) -> (usize, bool) {
        let bytes = self.untaken();
        let checks = usize::from(self.has_check_of(bytes));
        let connections = (bytes / HANDOFF_LEN).saturating_sub(checks);
        (connections, !bytes.is_multiple_of(HANDOFF_LEN))
    }

    /// How many connections of clients lie in the channel.
    pub(super) fn connections(&self) -> usize {
        self.lies().0
    }

    /// What tells whether the worker's loop is free.
    pub(super) fn seen_by(&mut self) -> LoopSeenBy {
        if self.loop_probe.is_readable() {
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
