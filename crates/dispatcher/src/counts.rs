//! The count of open connections: what was sent, less what the kernel says has ended.
//!
//! It is true however a runtime closes its descriptors, for only the kernel's answer to an exact
//! question lowers it. Two things lead to a question: the kernel tells of an end (at moderate
//! rates: when thousands end in a second, hearing of each would cost more than asking in lots),
//! and time ([`Ledger`]).

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use balance::{Last, MemberId, Nanos};
use rustix::event::epoll;

use super::endpoint::Endpoint;
use super::ledger::{First, Ledger};
use super::sock_diag::{BATCH, Ends, Presence, SockDiag};

/// So long what happens is counted before it is judged to be too much.
const WINDOW: Nanos = 100_000_000;

/// From so many beginnings and ends in a window on, connections are asked about later.
const FLOOD: u32 = 1000;

/// How much depends on the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// They are only shown.
    Figures,
    /// They decide between workers that are free.
    Ties,
    /// They decide who is next.
    Choice,
}

impl Need {
    /// From so many beginnings and ends in a window on, ends are not listened for.
    fn many(self) -> u32 {
        match self {
            Self::Figures => 0,
            Self::Ties => 100,
            Self::Choice => 400,
        }
    }
}

/// So long after that it stays so.
const DEAF_FOR: Nanos = 1_000_000_000;

/// What ended so short a time before its worker may have ended with it; so many are remembered.
const LATELY: Nanos = 1_000_000_000;
const MANY_LATELY: usize = 1024;

/// How many told ends are heard at once.
const HEARD: usize = 256;

/// The counts' book, and its ways to the kernel.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) now: Nanos,
    ledger: Ledger,
    epoll: Arc<OwnedFd>,
    token: u64,
    diag: Option<SockDiag>,
    /// Whether the kernel is known to answer truly, for TCP and for Unix sockets.
    proven: [Option<bool>; 2],
    need: Need,
    ends: Option<Ends>,
    ports: Vec<u16>,
    window: (Nanos, u32),
    flood_until: Nanos,
    deaf_until: Option<Nanos>,
    /// Told to have ended, and not asked about yet.
    suspects: Vec<Endpoint>,
    /// The connections that the kernel is asked about; empty between two questions.
    batch: Vec<Endpoint>,
    /// The members whose connections have ended, for the balancers.
    ended: VecDeque<MemberId>,
    /// Which ones have ended lately.
    lately: VecDeque<(Nanos, MemberId, Endpoint)>,
    /// Members that had connections before the counts began: the kernel may not show all of them.
    older: HashSet<MemberId>,
}

impl Counts {
    /// `token` is what the epoll's events for told ends carry.
    pub(super) fn new(epoll: Arc<OwnedFd>, token: u64, need: Need) -> Self {
        Self {
            now: 0,
            ledger: Ledger::default(),
            epoll,
            token,
            diag: SockDiag::open().ok(),
            proven: [None; 2],
            need,
            ends: None,
            ports: Vec::new(),
            window: (0, 0),
            flood_until: 0,
            deaf_until: None,
            suspects: Vec::new(),
            batch: Vec::with_capacity(BATCH),
            ended: VecDeque::new(),
            lately: VecDeque::new(),
            older: HashSet::new(),
        }
    }

    /// Whether the kernel is known not to tell which connections are open.
    pub(super) fn is_blind(&self) -> bool {
        self.proven.contains(&Some(false))
    }

    /// Listens for the ends of connections to these ports, too.
    pub(super) fn listen_for(&mut self, port: u16) {
        if self.need != Need::Figures && !self.ports.contains(&port) {
            self.ports.push(port);
            self.ends = None;
            self.hear_again();
        }
    }

    fn hear_again(&mut self) {
        // Without them, time will tell.
        if let Ok(ends) = Ends::join(&self.ports)
            && epoll::add(
                &*self.epoll,
                &ends,
                epoll::EventData::new_u64(self.token),
                epoll::EventFlags::IN,
            )
            .is_ok()
        {
            self.ends = Some(ends);
        }
    }

    /// A member has been sent a connection, of which `socket` is our own copy.
    pub(super) fn opened(
        &mut self,
        endpoint: Option<Endpoint>,
        socket: BorrowedFd<'_>,
        member: MemberId,
    ) {
        let Some(endpoint) = endpoint.filter(|endpoint| self.is_proven(*endpoint, socket)) else {
            // Of what nobody can count the end, the beginning does not count either.
            self.ended.push_back(member);
            return;
        };
        self.count_event();
        let told_of = matches!(endpoint, Endpoint::Tcp { .. }) && self.ends.is_some();
        let flood = self.flood_until > self.now;
        let first = if told_of || flood || self.need == Need::Figures {
            First::Later
        } else {
            First::Soon
        };
        if let Some(before) = self.ledger.open(self.now, endpoint, member, first) {
            self.ended.push_back(before);
        }
    }

    /// A member may have had connections before the counts began.
    pub(super) fn restore_member(&mut self, member: MemberId) {
        self.older.insert(member);
    }

    /// Whether a member may have connections that are not counted.
    pub(super) fn may_lack_some(&self, member: MemberId) -> bool {
        self.older.contains(&member) || self.is_blind()
    }

    /// A member has had a connection before the counts began.
    pub(super) fn restore(&mut self, endpoint: Endpoint, member: MemberId) {
        self.ledger.open(self.now, endpoint, member, First::Later);
    }

    /// Whether the kernel answers about such connections. It is asked about the first, and about
    /// others as long as its answer proves nothing: a client may have left, and the worker answered,
    /// before that.
    fn is_proven(&mut self, endpoint: Endpoint, socket: BorrowedFd<'_>) -> bool {
        let [tcp, unix] = &mut self.proven;
        let proven = match endpoint {
            Endpoint::Tcp { .. } => tcp,
            Endpoint::Unix { .. } => unix,
        };
        if proven.is_none() {
            let said = self.diag.as_mut().map(|diag| diag.ask(&[endpoint]));
            *proven = match said.and_then(|said| said.first().copied()) {
                Some(Presence::Open) => Some(true),
                // No process holds it any more, our own apart: that may be true.
                Some(Presence::Ended) if !endpoint.is_established(socket) => None,
                _ => Some(false),
            };
        }
        *proven == Some(true)
    }

    /// Whether its worker has read from it.
    pub(super) fn last(&mut self, endpoint: Endpoint) -> Last {
        let diag = self.diag.as_mut();
        diag.map_or(Last::Unknown, |diag| diag.last(endpoint))
    }

    /// It was taken back.
    pub(super) fn taken_back(&mut self, endpoint: Endpoint) {
        self.ledger.strike(endpoint);
    }

    /// A member, whose listener has this port, has given it back. `false` if it is none of that member's.
    pub(super) fn given_back(
        &mut self,
        endpoint: Endpoint,
        member: MemberId,
        port: Option<u16>,
    ) -> bool {
        let is_its = match self.ledger.holder(endpoint) {
            Some(holder) => holder == member,
            None => self.may_lack_some(member) && endpoint.is_at(port),
        };
        if is_its {
            self.ledger.strike(endpoint);
        }
        is_its
    }

    /// The kernel is asked about a member's connections soon.
    pub(super) fn recheck(&mut self, member: MemberId) {
        self.ledger.recheck_of(self.now, member);
    }

    /// Which connections a member has open.
    pub(super) fn of(&self, member: MemberId) -> impl Iterator<Item = Endpoint> + '_ {
        self.ledger.of(member)
    }

    /// Which connections of a member are open or have ended just now: the kernel closes what a
    /// process has before it tells of its end, so these may have been cut off by it.
    pub(super) fn cut(&self, member: MemberId) -> impl Iterator<Item = Endpoint> + '_ {
        let since = self.now.saturating_sub(LATELY);
        let lately = self.lately.iter();
        let lately = lately.filter(move |(at, whose, _)| *at >= since && *whose == member);
        let lately = lately.map(|(_, _, endpoint)| *endpoint);
        self.ledger.of(member).chain(lately)
    }

    fn end(&mut self, endpoint: Endpoint) {
        if let Some(member) = self.ledger.strike(endpoint) {
            self.ended.push_back(member);
            if self.lately.len() >= MANY_LATELY {
                self.lately.pop_front();
            }
            self.lately.push_back((self.now, member, endpoint));
        }
    }

    /// The member is no more.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.older.remove(&member);
        self.ledger.forget(member);
    }

    fn count_event(&mut self) {
        let (since, count) = &mut self.window;
        if self.now.saturating_sub(*since) > WINDOW {
            (*since, *count) = (self.now, 0);
        }
        *count += 1;
        if *count >= FLOOD {
            self.flood_until = self.now + WINDOW;
        }
        if *count >= self.need.many() && !self.ports.is_empty() {
            self.ends = None;
            self.deaf_until = Some(self.now + DEAF_FOR);
        }
    }

    /// Hears what the kernel tells.
    pub(super) fn hear(&mut self) {
        for _ in 0..HEARD {
            let Some(ends) = &self.ends else {
                return;
            };
            match ends.next() {
                Ok(Some(endpoint)) if self.ledger.knows(endpoint) => {
                    self.suspects.push(endpoint);
                    self.count_event();
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Some were left out.
                Err(_) => self.ledger.recheck(self.now),
            }
        }
    }

    /// Asks the kernel about the connections whose time has come; with `urgent`, about others too.
    /// The number of ends that [`Self::next_ended`] now gives out.
    pub(super) fn settle(&mut self, urgent: bool) -> usize {
        if self.deaf_until.is_some_and(|until| until <= self.now) {
            self.deaf_until = None;
            self.hear_again();
            // Some have ended unheard.
            self.ledger.recheck(self.now);
        }
        let mut batch = std::mem::take(&mut self.batch);
        let all_suspects = self.suspects.len() <= BATCH;
        batch.extend(self.suspects.drain(..self.suspects.len().min(BATCH)));
        while batch.len() < BATCH
            && all_suspects
            && let Some(endpoint) = self.ledger.next_due(self.now, urgent)
        {
            batch.push(endpoint);
        }
        if let Some(diag) = self.diag.as_mut().filter(|_| !batch.is_empty()) {
            for (endpoint, presence) in batch.iter().zip(diag.ask(&batch)) {
                match presence {
                    Presence::Ended => self.end(*endpoint),
                    Presence::Open | Presence::Unknown => {
                        self.ledger.still_open(self.now, *endpoint);
                    }
                }
            }
        }
        batch.clear();
        self.batch = batch;
        self.ended.len()
    }

    /// The member of the connection whose end was found first.
    pub(super) fn next_ended(&mut self) -> Option<MemberId> {
        self.ended.pop_front()
    }

    /// When something is to be asked.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        if !self.suspects.is_empty() || !self.ended.is_empty() {
            return Some(self.now);
        }
        self.ledger
            .deadline()
            .into_iter()
            .chain(self.deaf_until)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that another member holds is never taken. One that nobody is known to hold is taken from a member whose
    /// connections are not all counted, if it came to the member's listener.
    #[test]
    fn only_what_may_be_its_own_is_taken_from_a_member() {
        let (member, other) = (MemberId(1), MemberId(2));
        let endpoint = Endpoint::Tcp {
            local: "127.0.0.1:80".parse().unwrap(),
            peer: "127.0.0.1:5000".parse().unwrap(),
        };
        for holder in [None, Some(member), Some(other)] {
            for is_older in [false, true] {
                for port in [None, Some(80), Some(81)] {
                    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
                    let mut counts = Counts::new(Arc::new(epoll), 0, Need::Figures);
                    if let Some(holder) = holder {
                        counts.restore(endpoint, holder);
                    }
                    if is_older {
                        counts.restore_member(member);
                    }
                    let expected = match holder {
                        Some(holder) => holder == member,
                        None => is_older && port == Some(80),
                    };
                    let taken = counts.given_back(endpoint, member, port);
                    assert_eq!(taken, expected, "{holder:?}, {is_older}, {port:?}");
                    let left = counts.of(other).count();
                    assert_eq!(left, usize::from(holder == Some(other)));
                    counts.forget(member);
                    assert!(!counts.may_lack_some(member));
                    // The kernel tells of none.
                    counts.proven[0] = Some(false);
                    assert!(counts.may_lack_some(member));
                }
            }
        }
    }
}
