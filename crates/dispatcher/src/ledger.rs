//! Which connections are open at which worker, and when each is to be looked after.
//!
//! The kernel's word is asked for ([`super::sock_diag`]); this is the pure book-keeping. A
//! connection is asked about after a short time, and each time it is still open after twice that:
//! so its end is known at the latest when it has been over for as long as it lasted, and one that
//! stays open costs next to nothing.

use std::collections::{HashMap, VecDeque};

use balance::{MemberId, Nanos};

use super::endpoint::Endpoint;

/// The first pause is this long, each further one twice as long as the one before.
const SHORTEST: Nanos = 4_000_000;

/// How many different pauses there are; the last, 33 s, repeats itself.
const PAUSES: usize = 14;

/// The first pause: how soon a connection is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// After 4 ms: nothing else would tell of its end.
    Soon,
    /// After 128 ms.
    Later,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    member: MemberId,
    /// Tells it from an earlier connection between the same addresses.
    number: u64,
    /// Which pause comes next.
    pause: usize,
}

/// The book.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: HashMap<Endpoint, Entry>,
    /// For each pause the connections that are in it, the first to end it first. Some are no
    /// longer in the book.
    due: [VecDeque<(Nanos, u64, Endpoint)>; PAUSES],
    last: u64,
}

impl Ledger {
    /// Notes that a member has been sent a connection. If there was one between the same
    /// addresses, that one has ended; whose it was comes back.
    pub(super) fn open(
        &mut self,
        now: Nanos,
        endpoint: Endpoint,
        member: MemberId,
        first: First,
    ) -> Option<MemberId> {
        self.last += 1;
        let pause = match first {
            First::Soon => 0,
            First::Later => 5,
        };
        let entry = Entry {
            member,
            number: self.last,
            pause,
        };
        self.plan(now, endpoint, entry);
        let before = self.entries.insert(endpoint, entry);
        before.map(|entry| entry.member)
    }

    /// Strikes out a connection; whose it was.
    pub(super) fn strike(&mut self, endpoint: Endpoint) -> Option<MemberId> {
        self.entries.remove(&endpoint).map(|entry| entry.member)
    }

    /// A connection was asked about, and is still open.
    pub(super) fn still_open(&mut self, now: Nanos, endpoint: Endpoint) {
        if let Some(entry) = self.entries.get_mut(&endpoint) {
            self.last += 1;
            entry.number = self.last;
            entry.pause = (entry.pause + 1).min(PAUSES - 1);
            let entry = *entry;
            self.plan(now, endpoint, entry);
        }
    }

    fn plan(&mut self, now: Nanos, endpoint: Endpoint, entry: Entry) {
        if let Some(due) = self.due.get_mut(entry.pause) {
            let at = now + (SHORTEST << entry.pause);
            due.push_back((at, entry.number, endpoint));
        }
    }

    /// A connection that should be asked about now; with `urgent`, also before its time.
    ///
    /// A plan is compared with the time before it is looked up, for this is called in each turn of
    /// the event loop. So an outdated plan stays until its time has come.
    pub(super) fn next_due(&mut self, now: Nanos, urgent: bool) -> Option<Endpoint> {
        for due in &mut self.due {
            while let Some((at, number, endpoint)) = due.front().copied()
                && (urgent || at <= now)
            {
                due.pop_front();
                let entry = self.entries.get(&endpoint);
                if entry.is_some_and(|entry| entry.number == number) {
                    return Some(endpoint);
                }
            }
        }
        None
    }

    /// When connections are to be asked about, or outdated plans dropped: some time after the first
    /// is due, so that several can be asked about together.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        let first = |(pause, due): (usize, &VecDeque<(Nanos, u64, Endpoint)>)| {
            let slack = (SHORTEST << pause) / 4;
            Some(due.front()?.0 + slack)
        };
        self.due.iter().enumerate().filter_map(first).min()
    }

    /// All are to be asked about soon.
    pub(super) fn recheck(&mut self, now: Nanos) {
        for due in &mut self.due {
            due.clear();
        }
        for (endpoint, entry) in &mut self.entries {
            entry.pause = 0;
            self.due[0].push_back((now, entry.number, *endpoint));
        }
    }

    /// Those of one member are.
    pub(super) fn recheck_of(&mut self, now: Nanos, member: MemberId) {
        for (endpoint, entry) in &mut self.entries {
            // One that is in the first pause is asked about soon anyway.
            if entry.member == member && entry.pause > 0 {
                self.last += 1;
                entry.number = self.last;
                entry.pause = 0;
                self.due[0].push_back((now, entry.number, *endpoint));
            }
        }
    }

    pub(super) fn knows(&self, endpoint: Endpoint) -> bool {
        self.entries.contains_key(&endpoint)
    }

    /// Whose connection it is.
    pub(super) fn holder(&self, endpoint: Endpoint) -> Option<MemberId> {
        self.entries.get(&endpoint).map(|entry| entry.member)
    }

    /// Which connections a member has open.
    pub(super) fn of(&self, member: MemberId) -> impl Iterator<Item = Endpoint> + '_ {
        let entries = self.entries.iter();
        let own = entries.filter(move |(_, entry)| entry.member == member);
        own.map(|(endpoint, _)| *endpoint)
    }

    /// Nobody wants to know of a member's connections any more.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.entries.retain(|_, entry| entry.member != member);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);

    fn endpoint(inode: u32) -> Endpoint {
        Endpoint::Unix { inode }
    }

    #[test]
    fn pauses_double_and_have_an_end() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.deadline(), None);
        ledger.open(0, endpoint(1), A, First::Soon);
        let mut now = 0;
        let mut pauses = Vec::new();
        for _ in 0..16 {
            let deadline = ledger.deadline().unwrap();
            let at = now + (deadline - now) / 5 * 4;
            assert_eq!(ledger.next_due(at - 1, false), None);
            assert_eq!(ledger.next_due(at, false), Some(endpoint(1)));
            pauses.push((at - now) / MS);
            now = at;
            ledger.still_open(now, endpoint(1));
        }
        assert_eq!(pauses[..4], [4, 8, 16, 32]);
        assert_eq!(pauses[13..], [32_768, 32_768, 32_768]);
    }

    #[test]
    fn what_has_ended_is_not_asked_about() {
        let mut ledger = Ledger::default();
        ledger.open(0, endpoint(1), A, First::Soon);
        ledger.open(0, endpoint(2), B, First::Later);
        assert_eq!(ledger.strike(endpoint(1)), Some(A));
        assert_eq!(ledger.strike(endpoint(1)), None);
        assert_eq!(ledger.next_due(10 * MS, false), None);
        assert_eq!(ledger.deadline(), Some(160 * MS));
        assert_eq!(ledger.next_due(10 * MS, true), Some(endpoint(2)));
        assert!(ledger.knows(endpoint(2)) && !ledger.knows(endpoint(1)));
    }

    /// A plan whose connection has ended hides none that comes after it.
    #[test]
    fn an_outdated_plan_is_dropped_when_its_time_has_come() {
        let mut ledger = Ledger::default();
        ledger.open(0, endpoint(1), A, First::Soon);
        ledger.open(MS, endpoint(2), A, First::Soon);
        ledger.strike(endpoint(1));
        assert_eq!(ledger.next_due(MS, false), None);
        assert_eq!(ledger.deadline(), Some(5 * MS));
        assert_eq!(ledger.next_due(4 * MS, false), None);
        assert_eq!(ledger.deadline(), Some(6 * MS));
        assert_eq!(ledger.next_due(5 * MS, false), Some(endpoint(2)));
        assert_eq!(ledger.deadline(), None);
    }

    #[test]
    fn the_same_addresses_again_end_what_was_before() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.open(0, endpoint(1), A, First::Soon), None);
        assert_eq!(ledger.open(MS, endpoint(1), B, First::Soon), Some(A));
        assert_eq!((ledger.of(A).count(), ledger.of(B).count()), (0, 1));
        // The plan of the first one is no reason to ask about the second.
        assert_eq!(ledger.next_due(4 * MS, false), None);
        assert_eq!(ledger.next_due(5 * MS, false), Some(endpoint(1)));
    }

    #[test]
    fn urgent_questions_go_round_among_all() {
        let mut ledger = Ledger::default();
        for inode in 0..10 {
            ledger.open(0, endpoint(inode), A, First::Soon);
        }
        let mut asked = [0; 10];
        for _ in 0..PAUSES * 10 + 100 {
            let Some(Endpoint::Unix { inode }) = ledger.next_due(0, true) else {
                panic!("somebody is there to ask about");
            };
            asked[inode as usize] += 1;
            ledger.still_open(0, endpoint(inode));
        }
        assert_eq!(asked.map(|times| times > PAUSES), [true; 10]);
    }

    #[test]
    fn all_are_rechecked_and_a_member_is_forgotten() {
        let mut ledger = Ledger::default();
        for inode in 0..6 {
            let member = if inode % 2 == 0 { A } else { B };
            ledger.open(0, endpoint(inode), member, First::Later);
        }
        ledger.recheck(MS);
        ledger.forget(B);
        let asked = std::iter::from_fn(|| ledger.next_due(MS, false)).count();
        assert_eq!(asked, 3);
        assert_eq!((ledger.of(A).count(), ledger.of(B).count()), (3, 0));
    }

    #[test]
    fn a_member_that_drains_is_asked_about_soon_and_others_are_not() {
        let mut ledger = Ledger::default();
        ledger.open(0, endpoint(1), A, First::Later);
        ledger.open(0, endpoint(2), B, First::Later);
        assert_eq!(
            (ledger.holder(endpoint(1)), ledger.holder(endpoint(3))),
            (Some(A), None)
        );
        ledger.recheck_of(MS, A);
        assert_eq!(ledger.next_due(MS, false), Some(endpoint(1)));
        assert_eq!(ledger.next_due(MS, false), None);
    }
}
