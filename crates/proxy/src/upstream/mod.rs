//! Towards workers: the connections that carry requests to them, by worker, and what waits to be
//! sent over them.

pub(crate) mod batch;
pub(crate) mod connection;
pub(crate) mod handoff;
pub(crate) mod loops;
pub(crate) mod pool;
pub(crate) mod take_back;

use std::hash::RandomState;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use balance::{IdMap, MemberId, Nanos};
use rustix::io::Errno;

use crate::UPSTREAM;
use crate::io::Io;
use crate::link::Link;
use crate::listener::Listeners;
use crate::slab::{Key, Slab};
use batch::Batch;
use connection::{Ends, UpstreamConnection, number_of};
use pool::UpstreamPool;

/// Why a request may have to wait.
const OUT_OF_DESCRIPTORS: &str = "maitred has too many open files; raise its limit (ulimit -n)";

/// What lies untaken for this time goes to another worker that is free.
pub(crate) const OVERDUE: Nanos = 2_000_000;

/// All workers, and the connections to them.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) pools: IdMap<MemberId, UpstreamPool>,
    pub(crate) connections: Slab<UpstreamConnection>,
    pub(crate) batch: Batch,
    /// How many connections there may be.
    pub(crate) limit: usize,
    /// When what lies untaken in channels is looked after.
    pub(crate) untaken_at: Option<Nanos>,
    /// Tells clients apart by what their requests' fields say.
    pub(crate) named_by: RandomState,
    /// Names connections; no two supervisors' are alike.
    first_number: u64,
    next_number: u64,
}

impl Upstream {
    /// No worker yet; connections are numbered from `first` on.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            pools: IdMap::default(),
            connections: Slab::new(),
            batch: Batch::new(),
            limit: usize::MAX,
            untaken_at: None,
            named_by: RandomState::new(),
            first_number: first,
            next_number: first,
        }
    }

    /// Makes a connection for this worker, and the end that the worker gets. The error says why
    /// there can be none.
    pub(crate) fn open(
        &mut self,
        member: MemberId,
        ends: Ends,
        sockaddr: &[u8],
        listeners: &Listeners,
        io: &Io,
    ) -> Result<(Key, OwnedFd), &'static str> {
        let pool = self.pools.get(&member);
        let listener = pool.and_then(|pool| listeners.get(pool.listener));
        let local = listener.ok_or("the worker has left")?.local(ends.local);
        self.open_at(member, ends, sockaddr, &local, io)
    }

    /// The same; the worker sees `local` as its own address.
    pub(crate) fn open_at(
        &mut self,
        member: MemberId,
        ends: Ends,
        sockaddr: &[u8],
        local: &[u8],
        io: &Io,
    ) -> Result<(Key, OwnedFd), &'static str> {
        if !self.make_room() {
            return Err(OUT_OF_DESCRIPTORS);
        }
        let number = self.next_number;
        self.next_number += 1;
        let made = connection::make(number, sockaddr, local);
        let (ours, theirs) = made.map_err(|error| trouble(&error))?;
        let key = self.connections.insert(|key| {
            let data = io.kind | UPSTREAM | key.bits();
            Ok::<_, Errno>(UpstreamConnection {
                link: Link::new(ours, &io.epoll, data)?,
                number,
                member,
                ends,
                bound: None,
                client: None,
                greeting: None,
                was_staged: false,
                leave_at: 0,
                handed_at: io.now,
                asked_at: io.now,
                is_asked: true,
            })
        });
        let key = key.map_err(|error| trouble(&error.into()))?;
        Ok((key, theirs))
    }

    /// Whether this is the worker's end of a connection that another proxy has made.
    pub(crate) fn is_foreign(&self, end: &OwnedFd) -> bool {
        let own = self.first_number..self.next_number;
        number_of(end).is_some_and(|number| !own.contains(&number))
    }

    /// Makes room for one more connection. Whether there is any.
    fn make_room(&mut self) -> bool {
        if self.connections.len() < self.limit {
            return true;
        }
        let is_idle = |it: &UpstreamConnection| it.client.is_none() && it.leave_at > 0;
        let idle = self.connections.iter().find(|(_, it)| is_idle(it));
        let idle = idle.map(|(key, _)| key);
        if let Some(key) = idle {
            self.drop_connection(key);
        }
        idle.is_some()
    }

    /// The worker's end of a new connection has gone down its channel.
    pub(crate) fn handed(&mut self, member: MemberId, connection: Key, now: Nanos) {
        if let Some(pool) = self.pools.get_mut(&member) {
            pool.untaken.push_back(connection);
            pool.last = Some(connection);
        }
        let at = now + OVERDUE;
        self.untaken_at = Some(self.untaken_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Keeps a connection for the client's next request to this worker.
    pub(crate) fn keep(&mut self, member: MemberId, key: Key, time: Duration, now: Nanos) {
        let Some(connection) = self.connections.get_mut(key) else {
            return;
        };
        connection.client = None;
        let link = &connection.link;
        let is_clean = link.input.is_empty() && !link.is_ending() && !link.is_clogged();
        let time = u64::try_from(time.as_nanos()).unwrap_or(0);
        connection.leave_at = now.saturating_add(time);
        let pool = self.pools.get_mut(&member);
        let is_kept = is_clean && pool.is_some_and(|pool| pool.keep(connection, key));
        if !is_kept {
            self.connections.remove(key);
        }
    }

    /// Drops a connection, and forgets it where it is idle.
    pub(crate) fn drop_connection(&mut self, key: Key) {
        if let Some(connection) = self.connections.remove(key)
            && connection.client.is_none()
            && let Some(pool) = self.pools.get_mut(&connection.member)
        {
            pool.forget(&connection, key);
        }
    }

    /// Drops the idle connections that nothing but this client connection could have used again.
    pub(crate) fn drop_bound(&mut self, client: Key) {
        for pool in self.pools.values_mut() {
            for key in pool.forget_bound(client) {
                self.connections.remove(key);
            }
        }
    }

    /// Drops connections that have been idle too long.
    pub(crate) fn drop_stale(&mut self, now: Nanos) {
        let is_stale = |it: &UpstreamConnection| it.client.is_none() && it.leave_at <= now;
        let all = self.connections.iter();
        let stale = all.filter(|(_, it)| is_stale(it)).map(|(key, _)| key);
        for key in stale.collect::<Vec<_>>() {
            self.drop_connection(key);
        }
        self.pools.values_mut().for_each(UpstreamPool::tidy);
    }
}

/// Why a connection to a worker could not be made.
fn trouble(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE) => OUT_OF_DESCRIPTORS,
        Some(Errno::NFILE) => "the system has too many open files",
        Some(Errno::NOBUFS | Errno::NOMEM) => "the kernel has no memory for a connection",
        _ => "the kernel refused to make a connection to a worker",
    }
}
