//! Which addresses a process and its descendants listen on, and whether these are the ones that its
//! start was for. Without I/O and clock: times are since any fixed moment.
//!
//! A start has no predecessor to go by: it is over when the process listens, and nothing has changed
//! for a moment. A successor is up when it listens on what its predecessor listens on. Where it
//! listens elsewhere on purpose, it has to do so at as many addresses, and to go on for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher::ListenAddress;

/// A process without a predecessor that listens is up when nothing has changed for so long: programs
/// open the listeners of one start one right after the other. Longer would be felt in each `start`.
const MOMENT: Duration = Duration::from_millis(100);

/// The same at the latest so long after its first listener, however many come after that.
const LONGEST: Duration = Duration::from_secs(1);

/// A successor that listens elsewhere than its predecessor has to go on for so long: a mistake in its
/// start shows by then.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// What is listened on later than this belongs to no start (a debugger that was attached), and a
/// successor is not expected to do the same.
const START: Duration = Duration::from_secs(60);

/// Addresses that are remembered of one process: more than it may listen on at the same time.
const MOST: usize = 512;

/// How surely another run of the same program would listen on an address, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its name is given: in the environment, the arguments or the program, or several runs use it.
    Named,
    /// Seen in one run only, and may be random.
    Uncertain,
    /// It holds the run's pid, or the kernel chose the port: no other run will have it.
    OneRun,
}

/// An address that a process has listened on.
#[derive(Clone, Copy, Debug)]
struct Held {
    first: Duration,
    /// How many of its processes and threads listen there now.
    count: usize,
    kind: Kind,
}

/// The addresses that a successor is expected to listen on.
pub(super) type Expected = BTreeMap<ListenAddress, Kind>;

/// What a process and its descendants listen on.
#[derive(Debug)]
pub(super) struct Listening {
    started: Duration,
    held: BTreeMap<ListenAddress, Held>,
    /// When it began to listen on what may have clients.
    first: Option<Duration>,
    changed: Duration,
}

/// How far a start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It listens on all that was expected.
    Up,
    /// It is up at this time, if nothing changes until then.
    UpAt(Duration),
    /// It has still to listen.
    Waits,
}

impl Listening {
    /// A process that starts now.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            started: now,
            held: BTreeMap::new(),
            first: None,
            changed: now,
        }
    }

    /// The process, or a descendant of it, begins to listen.
    pub(super) fn add(&mut self, address: &ListenAddress, kind: Kind, now: Duration) {
        if self.held.len() >= MOST {
            self.held.retain(|_, held| held.count > 0);
        }
        let held = self.held.entry(address.clone()).or_insert(Held {
            first: now,
            count: 0,
            kind,
        });
        held.count += 1;
        held.kind = kind;
        self.changed = now;
        if kind != Kind::OneRun && self.first.is_none() {
            self.first = Some(now);
        }
    }

    /// One that has listened there ends, or closes it.
    pub(super) fn remove(&mut self, address: &ListenAddress, now: Duration) {
        if let Some(held) = self.held.get_mut(address) {
            held.count = held.count.saturating_sub(1);
            self.changed = now;
        }
    }

    /// Several runs have listened there.
    pub(super) fn is_common(&mut self, address: &ListenAddress) {
        if let Some(held) = self.held.get_mut(address) {
            held.kind = Kind::Named;
        }
    }

    /// When something has changed last.
    pub(super) fn changed(&self) -> Duration {
        self.changed
    }

    /// What it listens on now, but for names of this one run.
    fn now_on(&self) -> impl Iterator<Item = (&ListenAddress, &Held)> {
        let held = self.held.iter();
        held.filter(|(_, held)| held.count > 0 && held.kind != Kind::OneRun)
    }

    /// Whether it listens on what a successor would listen on, too.
    pub(super) fn listens(&self) -> bool {
        self.now_on().next().is_some()
    }

    pub(super) fn is_on(&self, address: &ListenAddress) -> bool {
        self.held.get(address).is_some_and(|held| held.count > 0)
    }

    /// Whether it listens on another address of this kind, which may be the new name of that one.
    pub(super) fn has_another(&self, address: &ListenAddress) -> bool {
        self.now_on().any(|(it, held)| {
            it != address && it.is_tcp() == address.is_tcp() && held.kind == Kind::Uncertain
        })
    }

    /// What its successor is expected to listen on: what it came to listen on in its start.
    pub(super) fn expected(&self) -> Expected {
        let kinds = |early: bool| -> Expected {
            let in_time = |held: &Held| held.first.saturating_sub(self.started) <= START;
            let held = self.now_on().filter(|(_, held)| !early || in_time(held));
            held.map(|(address, held)| (address.clone(), held.kind))
                .collect()
        };
        let early = kinds(true);
        // One that took longer to start has listened late on everything.
        if early.is_empty() {
            kinds(false)
        } else {
            early
        }
    }

    /// Which of these addresses it does not listen on.
    pub(super) fn lacks<'a>(
        &self,
        expected: &'a Expected,
    ) -> impl Iterator<Item = (&'a ListenAddress, Kind)> {
        let lacking = expected.iter().filter(|(address, _)| !self.is_on(address));
        lacking.map(|(address, kind)| (address, *kind))
    }

    /// How far the start of one without a predecessor has come.
    pub(super) fn first_start(&self) -> Standing {
        match self.first.filter(|_| self.listens()) {
            Some(first) => Standing::UpAt((self.changed + MOMENT).min(first + LONGEST)),
            None => Standing::Waits,
        }
    }

    /// How far one has come whose predecessor has ended, and listened on these addresses.
    pub(super) fn after(&self, expected: &Expected) -> Standing {
        if expected.is_empty() {
            return self.first_start();
        }
        match self.lacks(expected).next() {
            None => Standing::Up,
            Some(_) => Standing::Waits,
        }
    }

    /// How far one has come that is to replace another one, which listens on these addresses.
    /// `given_up` tells of an address that the configuration named for that one, and does not now.
    pub(super) fn beside(
        &self,
        expected: &Expected,
        given_up: impl Fn(&ListenAddress) -> bool,
    ) -> Standing {
        let lacking: Vec<_> = self.lacks(expected).collect();
        if lacking.is_empty() || !self.listens() {
            return match expected.is_empty() {
                true => self.first_start(),
                false if lacking.is_empty() => Standing::Up,
                false => Standing::Waits,
            };
        }
        let (moved, lacking): (Vec<_>, Vec<_>) = lacking
            .into_iter()
            .partition(|(address, _)| given_up(address));
        if lacking.iter().any(|(_, kind)| *kind == Kind::Named) {
            return Standing::Waits;
        }
        // What may stand for an address that is lacking is one that the predecessor has not.
        let met = |tcp: bool| {
            let of_type = |address: &ListenAddress| address.is_tcp() == tcp;
            let wanted = moved.iter().chain(&lacking);
            let wanted = wanted.filter(|(address, _)| of_type(address)).count();
            let spare = self.now_on().filter(|(address, held)| {
                let may = held.kind == Kind::Uncertain || !moved.is_empty();
                may && of_type(address) && !expected.contains_key(*address)
            });
            spare.count() >= wanted
        };
        // A Unix socket of unknown use may have been made for a single occasion.
        let kept = expected.keys().any(|address| self.is_on(address));
        if met(true) && (met(false) || kept && moved.is_empty()) {
            return Standing::UpAt(self.changed + ELSEWHERE);
        }
        Standing::Waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{Named, OneRun, Uncertain};
    use Standing::{Up, UpAt, Waits};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn address(name: &str) -> ListenAddress {
        match name.parse() {
            Ok(port) => ListenAddress::Tcp {
                socket: ([0, 0, 0, 0], port).into(),
                only_v6: false,
            },
            Err(_) => ListenAddress::Path(name.into()),
        }
    }

    /// A process that started at 0, and began to listen at these addresses then.
    fn process(listens: &[(&str, Kind)]) -> Listening {
        let mut process = Listening::new(ms(0));
        for (name, kind) in listens {
            process.add(&address(name), *kind, ms(0));
        }
        process
    }

    type Names<'a> = &'a [(&'a str, Kind)];

    /// Old listeners, new ones, those that the configuration has given up, and what follows.
    type Case<'a> = (Names<'a>, Names<'a>, &'a [&'a str], Standing);

    const SUCCESSORS: &[Case<'_>] = &[
        // The metrics are there, and the service is not.
        (
            &[("80", Named), ("90", Named)],
            &[("90", Named)],
            &[],
            Waits,
        ),
        (
            &[("80", Named), ("90", Named)],
            &[("90", Named), ("80", Named)],
            &[],
            Up,
        ),
        (&[("80", Named)], &[], &[], Waits),
        (&[("80", Named)], &[("81", Named)], &[], Waits),
        (&[("80", Named)], &[("81", Uncertain)], &[], Waits),
        (&[("80", Named)], &[("81", Named)], &["80"], UpAt(ELSEWHERE)),
        (
            &[("80", Named), ("90", Named)],
            &[("81", Named)],
            &["80"],
            Waits,
        ),
        (
            &[("80", Named), ("90", Named)],
            &[("90", Named)],
            &["80"],
            Waits,
        ),
        (
            &[("80", Named), ("90", Named)],
            &[("81", Named), ("90", Named)],
            &["80"],
            UpAt(ELSEWHERE),
        ),
        // tsx opens a socket of its own before the program runs.
        (
            &[("/tmp/1.pipe", OneRun), ("80", Named)],
            &[("/tmp/2.pipe", OneRun)],
            &[],
            Waits,
        ),
        (
            &[("/tmp/1.pipe", OneRun), ("80", Named)],
            &[("/tmp/2.pipe", OneRun), ("80", Named)],
            &[],
            Up,
        ),
        // A random port beside that of the service.
        (
            &[("80", Named), ("50001", Uncertain)],
            &[("50002", Uncertain)],
            &[],
            Waits,
        ),
        (
            &[("80", Named), ("50001", Uncertain)],
            &[("50002", Uncertain), ("80", Named)],
            &[],
            UpAt(ELSEWHERE),
        ),
        (
            &[("80", Named), ("50001", Uncertain)],
            &[("80", Named)],
            &[],
            Waits,
        ),
        // A Unix socket with a random name, and one that was opened once.
        (
            &[("80", Named), ("/a", Uncertain)],
            &[("/b", Uncertain)],
            &[],
            Waits,
        ),
        (
            &[("80", Named), ("/a", Uncertain)],
            &[("80", Named), ("/b", Uncertain)],
            &[],
            UpAt(ELSEWHERE),
        ),
        (
            &[("80", Named), ("/a", Uncertain)],
            &[("80", Named)],
            &[],
            UpAt(ELSEWHERE),
        ),
        (
            &[("80", Named), ("/a", Named)],
            &[("80", Named)],
            &[],
            Waits,
        ),
        (&[("/a", Uncertain)], &[("90", Uncertain)], &[], Waits),
        // Nothing is known of what to expect.
        (&[], &[("80", Named)], &[], UpAt(MOMENT)),
        (&[], &[], &[], Waits),
        (&[("/1.sock", OneRun)], &[("/2.sock", OneRun)], &[], Waits),
    ];

    #[test]
    fn a_successor_is_up_when_it_listens_on_what_its_predecessor_has() {
        for (old, new, given_up, standing) in SUCCESSORS {
            let expected = process(old).expected();
            let given_up: Vec<_> = given_up.iter().map(|name| address(name)).collect();
            let found = process(new).beside(&expected, |address| given_up.contains(address));
            assert_eq!(found, *standing, "{old:?} → {new:?}, {given_up:?}");
        }
    }

    #[test]
    fn a_first_start_is_over_when_nothing_changes_for_a_moment() {
        let mut new = Listening::new(ms(0));
        assert_eq!(new.first_start(), Waits);
        new.add(&address("/tmp/1.pipe"), OneRun, ms(10));
        assert_eq!(new.first_start(), Waits);
        new.add(&address("80"), Named, ms(20));
        assert_eq!(new.first_start(), UpAt(ms(20) + MOMENT));
        new.add(&address("90"), Named, ms(110));
        assert_eq!(new.first_start(), UpAt(ms(110) + MOMENT));
        new.remove(&address("90"), ms(150));
        assert_eq!(new.first_start(), UpAt(ms(150) + MOMENT));
        // However much goes on, the command does not wait for ever.
        new.add(&address("91"), Named, ms(1000));
        assert_eq!(new.first_start(), UpAt(ms(20) + LONGEST));
        for port in ["80", "91"] {
            new.remove(&address(port), ms(1010));
        }
        assert_eq!(new.first_start(), Waits);
    }

    #[test]
    fn a_restart_is_over_when_it_listens_where_the_last_run_did() {
        let expected = process(&[("80", Named), ("90", Named)]).expected();
        let mut new = process(&[("90", Named)]);
        assert_eq!(new.after(&expected), Waits);
        new.add(&address("80"), Named, ms(500));
        assert_eq!(new.after(&expected), Up);
        assert_eq!(new.after(&Expected::new()), UpAt(ms(500) + MOMENT));
    }

    #[test]
    fn what_was_opened_later_is_not_expected() {
        let mut old = process(&[("80", Named)]);
        old.add(&address("9229"), Named, START + ms(1));
        assert_eq!(old.expected().len(), 1);
        // One that starts slowly listens late on everything.
        let mut slow = Listening::new(ms(0));
        slow.add(&address("80"), Named, START + ms(1));
        assert_eq!(slow.expected().len(), 1);
        slow.remove(&address("80"), START + ms(2));
        assert!(slow.expected().is_empty());
    }
}
