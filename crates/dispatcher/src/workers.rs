//! The workers, as balancers and the proxy see them: what their channels and the kernel tell.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use balance::{Channels, Last, Look, MemberId, Nanos, Refusal, Untaken};
use rustix::event::epoll;
use wire::Handoff;

use super::channel::Channel;
use super::connection::Connection;
use super::counts::Counts;
use super::descriptors;
use super::linger;

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

    /// Another process goes on with the channels: this one closes its copies.
    pub(super) fn hand_over(&mut self) {
        for (_, channel) in self.channels.drain() {
            // Of a descriptor that is in the epoll this cannot fail.
            let _ = epoll::delete(&*self.epoll, channel.ours());
        }
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
        self.channels.get(&member)?.loop_probe.computed()
    }

    fn last(&mut self, member: MemberId) -> Last {
        let last = self.channels.get(&member).and_then(|it| it.last);
        last.map_or(Last::Unknown, |endpoint| self.counts.last(endpoint))
    }

    fn untaken(&mut self, member: MemberId) -> Untaken {
        let channel = self.channels.get(&member);
        let (connections, probe) = channel.map_or((0, false), Channel::lies);
        Untaken { connections, probe }
    }

    fn send(&mut self, member: MemberId, connection: Connection) -> Result<(), Connection> {
        let Some(channel) = self.channels.get_mut(&member) else {
            return Err(connection);
        };
        let socket = connection.socket.as_fd();
        if connection.linger.is_some() {
            linger::set(socket, connection.linger);
        }
        if channel.put(&connection.message, Some(socket)).is_err() {
            if connection.linger.is_some() {
                linger::set(socket, None);
            }
            return Err(connection);
        }
        channel.last = connection.endpoint;
        self.counts.opened(connection.endpoint, socket, member);
        Ok(())
    }

    fn take_back(&mut self, member: MemberId) -> Option<Connection> {
        let channel = self.channels.get_mut(&member)?;
        let (socket, message) = channel.take_back()?;
        let connection = Connection::returned(socket, message);
        channel.last = None;
        if let Some(endpoint) = connection.endpoint {
            self.counts.taken_back(endpoint);
        }
        Some(connection)
    }

    fn probe(&mut self, member: MemberId) -> bool {
        self.channels.get_mut(&member).is_some_and(Channel::probe)
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

impl proxy::Workers for Workers {
    fn look(&mut self, member: MemberId) -> Look {
        Channels::look(self, member)
    }

    fn acceptors(&mut self, member: MemberId) -> usize {
        let channel = self.channels.get(&member);
        channel.map_or(1, |channel| channel.acceptors)
    }

    fn probe(&mut self, member: MemberId) -> bool {
        Channels::probe(self, member)
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        Channels::watch(self, member, on);
    }

    fn hand(&mut self, member: MemberId, end: OwnedFd, peer: &[u8]) -> Result<(), OwnedFd> {
        let (message, _) = Handoff::pair(peer).encode();
        let channel = self.channels.get_mut(&member);
        match channel.map(|channel| channel.put(&message, Some(end.as_fd()))) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(end),
        }
    }

    fn untaken(&mut self, member: MemberId) -> usize {
        self.channels.get(&member).map_or(0, Channel::connections)
    }

    fn is_full(&mut self, member: MemberId) -> bool {
        let channel = self.channels.get(&member);
        let pid = channel.and_then(|channel| channel.loop_probe.pid());
        pid.is_some_and(descriptors::are_used_up)
    }

    fn take_back(&mut self, member: MemberId) -> Option<OwnedFd> {
        Some(self.channels.get_mut(&member)?.take_back()?.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::net::{AddressFamily, SocketType, sockopt};
    use wire::HANDOFF_LEN;

    use super::super::loop_probe::LoopProbe;
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

    /// Whatever is put in and taken back, it is known how much the worker has taken; and while it is
    /// watched, something is left that it would take.
    #[test]
    fn what_a_worker_takes_is_told_from_what_is_taken_back() {
        let (mut workers, id, theirs) = workers();
        let taken = |workers: &Workers| workers.channels[&id].taken();
        let mut message = [0; HANDOFF_LEN];
        for _ in 0..3 {
            workers.send(id, connection()).unwrap();
        }
        assert!(workers.probe(id));
        assert_eq!(taken(&workers), Some(0));
        sys::receive(theirs.as_fd(), &mut message).unwrap();
        assert_eq!(taken(&workers), Some(40));
        workers.channels.get_mut(&id).unwrap().is_watched = true;
        while workers.take_back(id).is_some() {}
        assert_eq!(taken(&workers), Some(40));
        let untaken = |connections, probe| Untaken { connections, probe };
        assert_eq!(workers.untaken(id), untaken(0, true));
        sys::receive(theirs.as_fd(), &mut message).unwrap();
        assert_eq!(taken(&workers), Some(41));
        assert_eq!(workers.untaken(id), untaken(0, false));
    }

    /// A look at the process that listens is not believed before something was taken: it may have forked another one,
    /// which accepts. What was sent and taken back proves nothing.
    #[test]
    fn a_look_is_believed_once_something_was_taken() {
        let (stay, stayed) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get())
                .unwrap();
            stayed.recv().unwrap_err();
        });
        let tid = told.recv().unwrap();
        let give: [fn(&mut Workers, MemberId); 2] = [
            |workers, id| workers.send(id, connection()).unwrap(),
            |workers, id| proxy::Workers::hand(workers, id, connection().socket, &[2, 0]).unwrap(),
        ];
        for give in give {
            let (mut workers, id, theirs) = workers();
            let mut loop_probe = LoopProbe::new(std::process::id() as i32, tid, -1, 0);
            while loop_probe.look() != Look::Away {
                std::thread::yield_now();
            }
            workers.channels.get_mut(&id).unwrap().loop_probe = loop_probe;
            let look = |workers: &mut Workers| Channels::look(workers, id);
            assert_eq!(look(&mut workers), Look::Unknown);
            give(&mut workers, id);
            assert_eq!(look(&mut workers), Look::Unknown);
            assert!(Channels::take_back(&mut workers, id).is_some());
            assert_eq!(look(&mut workers), Look::Unknown);
            give(&mut workers, id);
            sys::receive(theirs.as_fd(), &mut [0; HANDOFF_LEN]).unwrap();
            assert_eq!(look(&mut workers), Look::Away);
        }
        drop(stay);
        thread.join().unwrap();
    }

    /// A check is no connection of a client's, stays with its worker whatever is taken back around it,
    /// and is known to lie there until the worker has taken it.
    #[test]
    fn a_check_stays_with_its_worker() {
        for before in 0..3 {
            for after in 0..3 {
                let (mut workers, id, theirs) = workers();
                (0..before).for_each(|_| workers.send(id, connection()).unwrap());
                let (message, _) = Handoff::check(&[2, 0]);
                let socket = connection().socket;
                let channel = workers.channels.get_mut(&id).unwrap();
                channel.put_check(&message, socket.as_fd()).unwrap();
                (0..after).for_each(|_| workers.send(id, connection()).unwrap());
                assert!(workers.probe(id));
                assert_eq!(workers.untaken(id).connections, before + after);
                let mut back = 0;
                while let Some(taken) = workers.take_back(id) {
                    assert!(!Handoff::is_check(&taken.message));
                    back += 1;
                    assert_eq!(workers.untaken(id).connections, before + after - back);
                    assert!(workers.channels[&id].has_check());
                }
                assert_eq!(back, before + after);
                assert_eq!(workers.channels[&id].taken(), Some(0));
                let mut message = [0; HANDOFF_LEN];
                let (len, taken) = sys::receive(theirs.as_fd(), &mut message).unwrap();
                assert!(taken.is_some() && Handoff::is_check(&message[..len]));
                assert!(!workers.channels[&id].has_check());
                assert_eq!(workers.channels[&id].taken(), Some(HANDOFF_LEN as u64));
                // What comes later is known as what it is, however much of it is taken back.
                for _ in 0..5 {
                    workers.send(id, connection()).unwrap();
                    assert!(!workers.channels[&id].has_check());
                    assert_eq!(workers.untaken(id).connections, 1);
                    assert!(workers.take_back(id).is_some());
                    assert!(!workers.channels[&id].has_check());
                }
            }
        }
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
