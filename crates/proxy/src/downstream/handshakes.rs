//! TLS handshakes, on threads of their own. A signature takes as long as thirty requests, which would wait for it
//! on the event loop's thread; and several threads use several processors.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, epoll, eventfd};

use crate::UPSTREAM;
use crate::io::Io;
use crate::limits::framing_rate::Payer;
use crate::link::Handshake;
use crate::slab::Key;

/// What events about them carry: no client's key.
pub(crate) const HANDSHAKES: u64 = UPSTREAM - 3;

/// The most threads: they do some 8,000 handshakes with RSA 2048 a second, and an app does not start a hundred of them on a
/// machine with a hundred processors.
const MOST: usize = 8;

/// The threads, and what they have to do.
#[derive(Debug)]
pub(crate) struct Handshakes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting<Handshake>>,
    called: Condvar,
    done: Mutex<Vec<(Key, Handshake)>>,
    /// An eventfd in the event loop's epoll: something is done.
    bell: OwnedFd,
}

/// Handshakes that no thread has begun: one for each client at most. Addresses have their turns, or one that
/// connects again and again would keep all others waiting.
#[derive(Debug)]
struct Waiting<T> {
    handshakes: HashMap<Key, T>,
    turns: VecDeque<Payer>,
    /// Whose they are, oldest first; some may have left.
    clients: HashMap<Payer, VecDeque<Key>>,
    is_over: bool,
}

impl Handshakes {
    /// Starts the threads, one for each processor.
    ///
    /// # Errors
    /// If the kernel has no descriptor or no thread left.
    pub(crate) fn start(io: &Io) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(io.kind | HANDSHAKES);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&*io.epoll, &bell, data, flags)?;
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting::new()),
            called: Condvar::new(),
            done: Mutex::default(),
            bell,
        });
        let mut handshakes = Self {
            shared,
            threads: Vec::new(),
        };
        let count = thread::available_parallelism().map_or(1, |it| it.get().min(MOST));
        for _ in 0..count {
            let shared = Arc::clone(&handshakes.shared);
            let name = thread::Builder::new().name("tls".to_owned());
            handshakes.threads.push(name.spawn(move || shared.work())?);
        }
        Ok(handshakes)
    }

    /// Lets a thread do a client's handshake.
    pub(crate) fn give(&self, payer: Payer, client: Key, handshake: Handshake) {
        lock(&self.shared.waiting).add(payer, client, handshake);
        self.shared.called.notify_one();
    }

    /// The client is gone.
    pub(crate) fn cancel(&self, client: Key) {
        lock(&self.shared.waiting).handshakes.remove(&client);
    }

    /// What has been done.
    pub(crate) fn take(&self) -> Vec<(Key, Handshake)> {
        // The bell first: what is done after that rings it again.
        let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        std::mem::take(&mut lock(&self.shared.done))
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        lock(&self.shared.waiting).is_over = true;
        self.shared.called.notify_all();
        for thread in self.threads.drain(..) {
            // One that has panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// What a thread does.
    fn work(&self) {
        while let Some((client, mut handshake)) = self.next() {
            handshake.work();
            lock(&self.done).push((client, handshake));
            // This cannot fail: it would block only if the count were at its end, 2^64 - 2.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// The next handshake, as soon as there is one; `None` at the end.
    fn next(&self) -> Option<(Key, Handshake)> {
        let mut waiting = lock(&self.waiting);
        loop {
            if waiting.is_over {
                return None;
            }
            if let Some(next) = waiting.next() {
                return Some(next);
            }
            let woken = self.called.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Waiting<T> {
    fn new() -> Self {
        Self {
            handshakes: HashMap::new(),
            turns: VecDeque::new(),
            clients: HashMap::new(),
            is_over: false,
        }
    }

    fn add(&mut self, payer: Payer, client: Key, handshake: T) {
        self.handshakes.insert(client, handshake);
        let clients = self.clients.entry(payer).or_default();
        if clients.is_empty() {
            self.turns.push_back(payer);
        }
        clients.push_back(client);
    }

    fn next(&mut self) -> Option<(Key, T)> {
        while let Some(payer) = self.turns.pop_front() {
            let clients = self.clients.get_mut(&payer)?;
            let mut next = None;
            while next.is_none()
                && let Some(client) = clients.pop_front()
            {
                next = self.handshakes.remove(&client).map(|it| (client, it));
            }
            if clients.is_empty() {
                self.clients.remove(&payer);
            } else {
                self.turns.push_back(payer);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

/// What a mutex guards is whole at any moment, also where a thread has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose handshakes they are, in the order in which they have their turn.
    fn order(added: &[(u64, u64)], left: &[u64]) -> Vec<u64> {
        let mut waiting = Waiting::new();
        for (payer, client) in added {
            let payer = Payer::Connection(Key::of(*payer));
            waiting.add(payer, Key::of(*client), *client);
        }
        for client in left {
            waiting.handshakes.remove(&Key::of(*client));
        }
        let order = std::iter::from_fn(|| waiting.next())
            .map(|(_, client)| client)
            .collect();
        assert!(waiting.clients.is_empty() && waiting.turns.is_empty());
        order
    }

    #[test]
    fn addresses_have_their_turns_and_those_who_left_have_none() {
        let many = [(1, 10), (1, 11), (1, 12), (2, 20), (3, 30), (2, 21)];
        assert_eq!(order(&many, &[]), [10, 20, 30, 11, 21, 12]);
        assert_eq!(order(&many, &[10, 20, 30]), [11, 21, 12]);
        assert_eq!(order(&many, &[10, 11, 12, 21]), [20, 30]);
        assert!(order(&many, &[10, 11, 12, 20, 21, 30]).is_empty());
        assert!(order(&[], &[]).is_empty());
    }
}
