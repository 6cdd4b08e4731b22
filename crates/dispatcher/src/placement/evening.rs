//! Evening out: after new workers have joined, kept-alive connections move to them from the others.
//!
//! A client that keeps its connection would stay with its worker, however many join later. So a second
//! after the last one has joined, workers with more than their share are asked for idle connections, a few
//! at a time, until all have about as many, or for ten seconds.

use balance::{ConnectionFigures, MemberId, Nanos};

/// A reload brings one worker after the other: nothing moves before all are there.
const QUIET: Nanos = 1_000_000_000;

/// How often members are asked. Each time a worker's library reads what its epolls watch, which takes
/// about a microsecond for each connection.
const EVERY: Nanos = 100_000_000;

/// How many connections are asked for at a time: to move one takes a worker some ten microseconds.
const AT_ONCE: usize = 64;

/// A share counts as even up to this part more: what comes and goes is never quite even.
const SLACK: usize = 10;

/// How often they are asked after a worker has come: for ten seconds.
const TIMES: u32 = 100;

/// When the members of a listener are to be asked.
#[derive(Debug, Default)]
pub(super) struct Evening {
    at: Option<Nanos>,
    left: u32,
}

impl Evening {
    /// A member has come.
    pub(super) fn begin(&mut self, now: Nanos) {
        self.at = Some(now + QUIET);
        self.left = TIMES;
    }

    /// When it is time.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.at
    }

    /// Whether it is time to ask; it will be again after a pause.
    pub(super) fn is_due(&mut self, now: Nanos) -> bool {
        if self.at.is_none_or(|at| at > now) {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.at = (self.left > 0).then_some(now + EVERY);
        true
    }

    /// All have as many: it is over.
    pub(super) fn end(&mut self) {
        self.at = None;
    }
}

/// Which members have more connections open than their share, and how many of these each is asked
/// for: at most `room` in all. None, if no member has many more or many fewer than its share.
pub(super) fn excess(
    members: impl Iterator<Item = (MemberId, ConnectionFigures)>,
    mut room: usize,
) -> Vec<(MemberId, u32)> {
    let members: Vec<_> = members.map(|(id, it)| (id, it.open)).collect();
    let total: usize = members.iter().map(|(_, open)| open).sum();
    let count = members.len().max(1);
    // A share is one of these two numbers.
    let (least, most) = (total / count, total.div_ceil(count));
    let is_even = |open: usize| least <= open + least / SLACK && open <= most + most / SLACK;
    if members.iter().all(|(_, open)| is_even(*open)) {
        return Vec::new();
    }
    // If no member has more than the larger share, members with that one give to those with few.
    let has_more = members.iter().any(|(_, open)| *open > most);
    let share = if has_more { most } else { least };
    let asked = members.into_iter().map(|(id, open)| {
        let excess = open.saturating_sub(share).min(AT_ONCE).min(room);
        room -= excess;
        (id, u32::try_from(excess).unwrap_or(0))
    });
    asked.filter(|(_, excess)| *excess > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(open: &[usize]) -> Vec<(u64, u32)> {
        asked_with_room(open, usize::MAX)
    }

    fn asked_with_room(open: &[usize], room: usize) -> Vec<(u64, u32)> {
        let members = open.iter().zip(0..).map(|(open, id)| {
            let figures = ConnectionFigures {
                open: *open,
                ..ConnectionFigures::default()
            };
            (MemberId(id), figures)
        });
        let excess = excess(members, room).into_iter();
        excess.map(|(id, most)| (id.0, most)).collect()
    }

    #[test]
    fn those_with_more_than_their_share_are_asked() {
        assert_eq!(asked(&[]), []);
        assert_eq!(asked(&[7]), []);
        assert_eq!(asked(&[0, 0, 0]), []);
        assert_eq!(asked(&[3, 2, 2]), []);
        assert_eq!(asked(&[10, 10, 0, 0]), [(0, 5), (1, 5)]);
        assert_eq!(asked(&[1, 9]), [(1, 4)]);
        assert_eq!(asked(&[1450, 1550]), []);
        assert_eq!(asked(&[13, 10, 8, 9]), [(0, 3)]);
        assert_eq!(asked(&[11, 11, 9, 9]), []);
        assert_eq!(asked(&[5000, 0]), [(0, 64)]);
    }

    #[test]
    fn a_member_with_few_gets_some_where_no_other_has_many() {
        assert_eq!(asked(&[11, 11, 11, 7]), [(0, 1), (1, 1), (2, 1)]);
        assert_eq!(asked(&[2, 2, 0]), [(0, 1), (1, 1)]);
        assert_eq!(
            asked(&[10, 10, 10, 10, 6]),
            [(0, 1), (1, 1), (2, 1), (3, 1)]
        );
    }

    #[test]
    fn no_more_are_asked_for_than_find_room() {
        assert_eq!(asked_with_room(&[20, 20, 0, 0], 12), [(0, 10), (1, 2)]);
        assert_eq!(asked_with_room(&[5000, 0], 3), [(0, 3)]);
        assert_eq!(asked_with_room(&[5000, 0], 0), []);
    }

    #[test]
    fn asking_ends_after_a_while_and_begins_again_with_the_next_one() {
        let mut evening = Evening::default();
        assert!(!evening.is_due(Nanos::MAX));
        for _ in 0..2 {
            evening.begin(0);
            evening.begin(QUIET / 2);
            assert!(!evening.is_due(QUIET));
            let mut asked = 0;
            while let Some(at) = evening.deadline() {
                assert!(evening.is_due(at) && !evening.is_due(at));
                asked += 1;
            }
            assert_eq!(asked, TIMES);
        }
        evening.begin(0);
        evening.end();
        assert!(!evening.is_due(Nanos::MAX));
    }
}
