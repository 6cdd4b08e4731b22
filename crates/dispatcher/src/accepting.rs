//! Accepting connections, and when not to: without room in the queue, without descriptors, after
//! the door has closed. What is not accepted waits in the kernel's backlog.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::Notice;
use super::connection::Connection;
use super::ids::ListenerId;
use super::listeners::Listener;
use super::registration_events::RegistrationEvent;
use super::requests;
use super::turn::{Turn, nanos};
use proxy::Proxy;

/// How many connections are accepted from one listener before others have their turn.
const BATCH: usize = 64;

/// After the process has run out of descriptors, it accepts again after this.
const BREATHER: Duration = Duration::from_millis(10);

/// So often it is told that newcomers have to wait.
const REMINDER: Duration = Duration::from_secs(10);

impl Turn {
    /// Accepts a lot of what has arrived at a listener, and lets the balancer give it out. Whether
    /// there may be more to accept.
    pub(super) fn accept(&mut self, id: ListenerId) -> bool {
        self.divide_descriptors();
        let listener = self.listeners.all.get_mut(&id);
        let Some(listener) = listener.filter(|listener| !listener.shut) else {
            return false;
        };
        for number in 0..BATCH {
            if let Some(proxy) = &mut self.proxy
                && !proxy.make_room_at_once()
            {
                // Whether anyone waits out there is known when this is called for.
                if number == 0 {
                    let _ = listener.accept(id, false, &self.epoll);
                    proxy.press(true);
                    let limit = proxy.most_clients();
                    self.remind(Notice::Crowded { limit });
                }
                return false;
            }
            if !listener.balancer.has_room() {
                let _ = listener.accept(id, false, &self.epoll);
                return false;
            }
            match sys::accept(listener.socket.as_fd()) {
                Ok((socket, peer)) => {
                    if let Some(proxy) = &mut self.proxy {
                        self.accepted += 1;
                        listener.accepted += 1;
                        let is_wildcard = listener.address.is_wildcard();
                        let peer = peer.as_bytes();
                        requests::admit(proxy, id, socket, peer, self.accepted, is_wildcard);
                        continue;
                    }
                    let scarce = socket.as_raw_fd() >= self.descriptors;
                    self.moderation.count();
                    let connection = Connection::new(socket, peer.as_bytes(), listener.linger);
                    let client = super::address::client(peer.as_bytes(), self.accepted);
                    self.accepted += 1;
                    listener.accepted += 1;
                    let now = nanos(self.started);
                    listener
                        .balancer
                        .arrive(now, client, connection, &mut self.workers);
                    if scarce {
                        self.pause(None);
                        return false;
                    }
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::MFILE) => {
                        self.pause(None);
                        return false;
                    }
                    Some(Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                        self.pause(Some(error.to_string()));
                        return false;
                    }
                    // A connection that was gone before it was accepted.
                    Some(Errno::CONNABORTED | Errno::PROTO | Errno::INTR) => {}
                    _ => return false,
                },
            }
        }
        true
    }

    /// Lets the proxy know how many descriptors there are for it.
    fn divide_descriptors(&mut self) {
        if let Some(proxy) = &mut self.proxy
            && let Some(shares) = self.shares.shares(|| proxy.descriptors())
        {
            proxy.limit_to(shares.clients, shares.pairs);
        }
    }

    /// Few descriptors are left, or the system lacks something else: what arrives stays in the backlog
    /// for a moment.
    fn pause(&mut self, reason: Option<String>) {
        let now = Instant::now();
        self.breather = Some(now + BREATHER);
        for (id, listener) in &mut self.listeners.all {
            let _ = listener.accept(*id, false, &self.epoll);
        }
        self.remind_of_descriptors(reason);
    }

    /// After a pause: whether there are descriptors for connections again, or another pause follows.
    /// Those that wait for a worker have some; where none waits, one is let in whatever is left.
    pub(super) fn breathe(&mut self, now: Instant) {
        let waits = |listener: &Listener| listener.balancer.waiting() > 0;
        let is_scarce = || {
            let lowest = fcntl_dupfd_cloexec(&*self.epoll, 0);
            lowest.map_or(true, |lowest| lowest.as_raw_fd() >= self.descriptors)
        };
        let goes_on = self.proxy.is_none() && self.listeners.all.values().any(waits) && is_scarce();
        self.breather = goes_on.then_some(now + BREATHER);
    }

    /// Tells that few descriptors are left, or why else nothing can be accepted.
    pub(super) fn remind_of_descriptors(&mut self, reason: Option<String>) {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.remind(Notice::OutOfDescriptors {
            limit: limit.unwrap_or(0),
            reason,
        });
    }

    /// Tells that newcomers have to wait, and why; not at each of them.
    pub(super) fn remind(&mut self, notice: Notice) {
        let now = Instant::now();
        if self.reminded.is_none_or(|last| now - last > REMINDER) {
            self.reminded = Some(now);
            self.tell(notice);
        }
    }

    /// Accepts again where there is room again.
    pub(super) fn resume(&mut self) {
        if self.breather.is_some() || !self.proxy.as_ref().is_none_or(Proxy::has_room) {
            return;
        }
        if let Some(proxy) = &mut self.proxy {
            proxy.press(false);
        }
        for (id, listener) in &mut self.listeners.all {
            if !listener.accepting && !listener.shut && listener.balancer.has_room() {
                let _ = listener.accept(*id, true, &self.epoll);
            }
        }
    }

    /// Takes what the backlogs still hold, then accepts no more, until workers are awaited again.
    pub(super) fn close(&mut self) {
        self.closed = true;
        let listeners = self.listeners.all.iter();
        let open = listeners.filter(|(_, listener)| !listener.shut);
        let open: Vec<_> = open.map(|(id, _)| *id).collect();
        for id in open {
            while self.accept(id) {}
            self.shut(id);
        }
        if let Some(proxy) = &mut self.proxy {
            proxy.close();
        }
    }

    /// Accepts no more at a listener. What has been accepted there is still served, and the address is
    /// free for another one.
    fn shut(&mut self, id: ListenerId) {
        let Some(listener) = self.listeners.all.get_mut(&id) else {
            return;
        };
        // Of a descriptor that is in the epoll this cannot fail.
        let _ = epoll::delete(&*self.epoll, &listener.socket);
        listener.accepting = false;
        listener.shut = true;
        // Shut down it refuses newcomers, also while a process that we know nothing of has a copy.
        let _ = rustix::net::shutdown(&listener.socket, rustix::net::Shutdown::Both);
        // Without a descriptor for another socket it is closed with the listener.
        if let Ok(other) = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        ) {
            listener.socket = other;
        }
        self.registration.tell(RegistrationEvent::Closed(id));
    }
}

/// Three quarters of what we may have; the kernel gives the lowest free number.
pub(super) fn descriptors_for_connections() -> i32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    i32::try_from(limit.unwrap_or(u64::MAX) / 4 * 3).unwrap_or(i32::MAX)
}
