//! Whose turn it is: a state machine over the graph.
//!
//! ```text
//!  Waits ─ all that it needs is there ─▶ Begun ─▶ Started ─▶ Completed
//!    │                                     │         │
//!    └─ what it needs has failed ─▶ Held   └─────────┴─▶ Failed
//! ```
//!
//! In reverse order an app waits until all that need it are stopped, and nothing is held up.

use std::collections::BTreeSet;

use config::Until;

use super::Graph;

/// From which end a graph is worked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What is needed comes first, and its failure holds up what needs it.
    Forward,
    /// What is needed comes last, whatever becomes of the others.
    Backward,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Begun,
    Started,
    Completed,
    /// It may have been up before.
    Failed {
        was_up: bool,
    },
    Held,
}

/// How far a start or stop of many apps has come.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    needs: Vec<Vec<(usize, Until)>>,
    states: Vec<State>,
    direction: Direction,
}

impl Schedule {
    pub(crate) fn new(graph: &Graph, direction: Direction) -> Self {
        let count = graph.len();
        let forward = (0..count).map(|number| graph.needs(number).to_vec());
        let needs = match direction {
            Direction::Forward => forward.collect(),
            Direction::Backward => {
                let mut backward = vec![Vec::new(); count];
                for (number, needs) in forward.enumerate() {
                    for (need, _) in needs {
                        if let Some(waits) = backward.get_mut(need) {
                            waits.push((number, Until::Started));
                        }
                    }
                }
                backward
            }
        };
        Self {
            needs,
            states: vec![State::Waits; count],
            direction,
        }
    }

    /// The first whose turn it is; it counts as begun.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let number = (0..self.states.len()).find(|number| self.is_ready(*number))?;
        self.set(number, State::Begun);
        Some(number)
    }

    /// Whether nothing will have its turn any more, as far as can be told.
    pub(crate) fn is_over(&self) -> bool {
        !self.states.contains(&State::Waits)
    }

    /// Whether it matters when a node has completed.
    pub(crate) fn awaits_completion(&self, number: usize) -> bool {
        let mut all = self.needs.iter().flatten();
        all.any(|need| *need == (number, Until::Completed))
    }

    /// Whether it has had its turn, and nothing has come of it yet.
    pub(crate) fn is_begun(&self, number: usize) -> bool {
        self.state(number) == State::Begun
    }

    pub(crate) fn started(&mut self, number: usize) {
        self.set(number, State::Started);
    }

    pub(crate) fn completed(&mut self, number: usize) {
        self.set(number, State::Completed);
    }

    /// A node has failed; those that wait for it, and those that wait for them, do so in vain.
    pub(crate) fn failed(&mut self, number: usize) {
        if self.direction == Direction::Backward {
            return self.set(number, State::Completed);
        }
        let was_up = self.state(number) == State::Started;
        self.set(number, State::Failed { was_up });
        let in_vain = |(need, until): &(usize, Until)| {
            *need == number && (!was_up || *until == Until::Completed)
        };
        let mut held: Vec<_> = self.waiting(&in_vain);
        while !held.is_empty() {
            for number in &held {
                self.set(*number, State::Held);
            }
            held = self.waiting(&|(need, _)| held.contains(need));
        }
    }

    /// Those that a node which has failed holds up.
    pub(crate) fn held_up_by(&self, culprit: usize) -> Vec<usize> {
        let mut found = BTreeSet::new();
        let mut last = vec![culprit];
        while !last.is_empty() {
            let waits = |number: &usize| {
                let needs = self.needs.get(*number);
                let waited = needs.is_some_and(|it| it.iter().any(|it| last.contains(&it.0)));
                self.state(*number) == State::Held && waited && !found.contains(number)
            };
            last = (0..self.states.len()).filter(waits).collect();
            found.extend(&last);
        }
        found.into_iter().collect()
    }

    fn is_ready(&self, number: usize) -> bool {
        let is_there = |(need, until): &(usize, Until)| match self.state(*need) {
            State::Completed => true,
            State::Started | State::Failed { was_up: true } => *until != Until::Completed,
            State::Waits | State::Begun | State::Failed { was_up: false } | State::Held => false,
        };
        let needs = self.needs.get(number);
        self.state(number) == State::Waits && needs.is_some_and(|it| it.iter().all(is_there))
    }

    /// Those that have not had their turn, and have such a need.
    fn waiting(&self, is_such: &dyn Fn(&(usize, Until)) -> bool) -> Vec<usize> {
        let waits = |number: &usize| {
            let needs = self.needs.get(*number);
            self.state(*number) == State::Waits && needs.is_some_and(|it| it.iter().any(is_such))
        };
        (0..self.states.len()).filter(waits).collect()
    }

    fn state(&self, number: usize) -> State {
        self.states.get(number).copied().unwrap_or(State::Held)
    }

    fn set(&mut self, number: usize, state: State) {
        if let Some(slot) = self.states.get_mut(number) {
            *slot = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dependencies::numbered;

    fn all_ready(schedule: &mut Schedule) -> Vec<usize> {
        std::iter::from_fn(|| schedule.next()).collect()
    }

    /// Which apps begin together, where each takes as long as the others.
    fn rounds(graph: &Graph, direction: Direction) -> Vec<Vec<usize>> {
        let mut schedule = Schedule::new(graph, direction);
        let mut rounds = Vec::new();
        while !schedule.is_over() {
            let round = all_ready(&mut schedule);
            assert!(!round.is_empty(), "it does not end: {schedule:?}");
            for number in &round {
                schedule.started(*number);
                schedule.completed(*number);
            }
            rounds.push(round);
        }
        rounds
    }

    #[test]
    fn as_many_at_once_as_the_graph_allows() {
        for (needs, forward, backward) in [
            (&[][..], vec![], vec![]),
            (
                &[&[][..], &[], &[]],
                vec![vec![0, 1, 2]],
                vec![vec![0, 1, 2]],
            ),
            (
                &[&[1], &[2], &[]],
                vec![vec![2], vec![1], vec![0]],
                vec![vec![0], vec![1], vec![2]],
            ),
            (
                &[&[1, -3], &[3], &[3], &[]],
                vec![vec![3], vec![1, 2], vec![0]],
                vec![vec![0], vec![1, 2], vec![3]],
            ),
        ] {
            let graph = numbered(needs);
            assert_eq!(rounds(&graph, Direction::Forward), forward, "{needs:?}");
            assert_eq!(rounds(&graph, Direction::Backward), backward, "{needs:?}");
        }
    }

    /// Thirty apps in five layers, each of which needs all of the layer below.
    #[test]
    fn thirty_apps_take_as_many_rounds_as_the_graph_is_deep() {
        let layers: Vec<Vec<isize>> = (0..30)
            .map(|app| match app / 6 {
                0 => Vec::new(),
                layer => ((layer - 1) * 6..layer * 6).collect(),
            })
            .collect();
        let layers: Vec<_> = layers.iter().map(Vec::as_slice).collect();
        let rounds = rounds(&numbered(&layers), Direction::Forward);
        let expected: Vec<Vec<usize>> = (0..5).map(|it| (it * 6..it * 6 + 6).collect()).collect();
        assert_eq!(rounds, expected);
    }

    #[test]
    fn completion_is_waited_for_where_it_matters() {
        let mut schedule = Schedule::new(&numbered(&[&[], &[0], &[-1]]), Direction::Forward);
        assert_eq!(all_ready(&mut schedule), [0]);
        assert!(schedule.awaits_completion(0) && !schedule.awaits_completion(1));
        schedule.started(0);
        assert_eq!(all_ready(&mut schedule), [1]);
        schedule.completed(0);
        assert_eq!(all_ready(&mut schedule), [2]);
        assert!(schedule.is_over());
    }

    /// 1 needs 0, 2 needs 0 until it has completed, 3 needs 1 and 2, 4 needs nothing.
    #[test]
    fn what_has_failed_holds_up_what_needs_it_and_nothing_else() {
        let graph = numbered(&[&[], &[0], &[-1], &[1, 2], &[]]);
        let mut schedule = Schedule::new(&graph, Direction::Forward);
        assert_eq!(all_ready(&mut schedule), [0, 4]);
        schedule.failed(0);
        assert_eq!(all_ready(&mut schedule), [0; 0]);
        assert!(schedule.is_over());
        assert_eq!(schedule.held_up_by(0), [1, 2, 3]);
        assert_eq!(schedule.held_up_by(4), [0; 0]);
        // It was up: only those that wait until it has completed do so in vain.
        let mut schedule = Schedule::new(&graph, Direction::Forward);
        assert_eq!(all_ready(&mut schedule), [0, 4]);
        schedule.started(0);
        schedule.failed(0);
        assert_eq!(all_ready(&mut schedule), [1]);
        assert!(schedule.is_over());
        assert_eq!(schedule.held_up_by(0), [2, 3]);
    }

    /// Two that have failed hold up the same app.
    #[test]
    fn each_culprit_is_told_whom_it_holds_up() {
        let mut schedule = Schedule::new(&numbered(&[&[], &[], &[0, 1]]), Direction::Forward);
        assert_eq!(all_ready(&mut schedule), [0, 1]);
        schedule.failed(0);
        schedule.failed(1);
        assert_eq!(
            (schedule.held_up_by(0), schedule.held_up_by(1)),
            (vec![2], vec![2])
        );
    }

    #[test]
    fn backward_nothing_is_held_up() {
        let mut schedule = Schedule::new(&numbered(&[&[], &[0]]), Direction::Backward);
        assert_eq!(all_ready(&mut schedule), [1]);
        schedule.failed(1);
        assert_eq!(all_ready(&mut schedule), [0]);
    }
}
