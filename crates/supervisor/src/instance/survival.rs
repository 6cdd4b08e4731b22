//! An instance whose processes another supervisor has started.

use std::time::Duration;

use super::leaving::Leaving;
use super::{Cause, Lifecycle, Rules, Run, RunId, State};

impl Run {
    /// A process that runs already.
    pub(crate) fn survived(id: RunId, since: Duration, up: bool) -> Self {
        Self {
            id,
            since,
            up,
            up_at: up.then_some(since),
            // Who listens is told soon.
            listens: false,
            listens_since: None,
        }
    }
}

impl Lifecycle {
    /// Goes on with processes that run already: one that serves, if there is one, and those that are to end
    /// for this cause. Whoever says so has them drain.
    pub(crate) fn survive(
        &mut self,
        last: RunId,
        current: Option<Run>,
        leaving: &[Run],
        cause: Cause,
        rules: &Rules,
        now: Duration,
    ) {
        self.last = last;
        if let Some(run) = current {
            self.state = State::Running(run);
        }
        let leaving = leaving
            .iter()
            .map(|run| Leaving::begin(*run, cause, rules, now));
        self.leaving.extend(leaving);
    }

    /// The number of its newest process.
    pub(crate) fn last(&self) -> RunId {
        self.last
    }

    /// Its newest process, if that is still to serve.
    pub(crate) fn newest(&self) -> Option<Run> {
        match self.state {
            State::Running(run) | State::Replacing { new: run, .. } => Some(run),
            State::Resting(_) | State::Waiting { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use config::Pause;

    use super::super::tests::{exited, ms, rules, up};
    use super::super::{Effect, Event, Outcome, Rest};
    use super::*;

    fn draining() -> Rules {
        Rules {
            drains: true,
            ..rules()
        }
    }

    /// One that has survived is treated as if this supervisor had started it: it is restarted when it ends,
    /// and replaced by a process with a new number.
    #[test]
    fn a_survivor_goes_on_as_any_other() {
        for is_up in [true, false] {
            let rules = draining();
            let mut lifecycle = Lifecycle::new(Rest::Stopped, 5, 0);
            let run = Run::survived(RunId(7), ms(0), is_up);
            lifecycle.survive(
                RunId(9),
                Some(run),
                &[],
                Cause::Replaced,
                &rules,
                ms(60_000),
            );
            assert_eq!(lifecycle.restarts(), 5);
            assert_eq!(lifecycle.step(Event::Time, &rules, ms(60_000)), []);
            if !is_up {
                lifecycle.step(up(7), &rules, ms(60_000));
            }
            let effects = lifecycle.step(Event::Reload, &rules, ms(60_001));
            assert_eq!(effects, [Effect::Spawn(RunId(10))]);
            let effects = lifecycle.step(up(10), &rules, ms(60_002));
            assert_eq!(effects[1..], [Effect::Drain(RunId(7), Cause::Replaced)]);
            assert!(matches!(effects[0], Effect::Settled(Outcome::Up { .. })));
            lifecycle.step(Event::Drained { run: RunId(7) }, &rules, ms(60_003));
            lifecycle.step(exited(7, 0), &rules, ms(60_004));
            assert!(!lifecycle.is_leaving());
        }
    }

    /// It has served for long: that it ends once is no crash that is put off.
    #[test]
    fn a_survivor_that_ends_is_restarted_at_once() {
        let mut rules = draining();
        rules.restart.pause = Pause::Earned(ms(100));
        let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
        let run = Run::survived(RunId(1), ms(0), true);
        lifecycle.survive(
            RunId(1),
            Some(run),
            &[],
            Cause::Replaced,
            &rules,
            ms(60_000),
        );
        let listening = true;
        lifecycle.step(
            Event::Listens {
                run: RunId(1),
                listening,
            },
            &rules,
            ms(60_001),
        );
        let effects = lifecycle.step(exited(1, 1), &rules, ms(62_000));
        assert!(effects.contains(&Effect::Spawn(RunId(2))), "{effects:?}");
    }

    /// What was to end does, and an instance that was to start waits for it where both cannot run beside
    /// each other.
    #[test]
    fn what_was_on_its_way_out_ends() {
        for (cause, waits) in [
            (Cause::Replaced, false),
            (Cause::Restarted, true),
            (Cause::Stopped, true),
        ] {
            let rules = draining();
            let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
            let old = Run::survived(RunId(3), ms(0), true);
            lifecycle.survive(RunId(4), None, &[old], cause, &rules, ms(1000));
            assert!(lifecycle.is_draining());
            let effects = lifecycle.step(Event::Start, &rules, ms(1001));
            assert_eq!(
                effects.contains(&Effect::Spawn(RunId(5))),
                !waits,
                "{cause:?}"
            );
            let most = 1000 + 30_000;
            let effects = lifecycle.step(Event::Time, &rules, ms(most));
            assert!(effects.contains(&Effect::Ask(RunId(3))), "{effects:?}");
            let effects = lifecycle.step(Event::Time, &rules, ms(most + 1600));
            assert!(effects.contains(&Effect::Kill(RunId(3))), "{effects:?}");
            let effects = lifecycle.step(exited(3, 0), &rules, ms(most + 1601));
            assert_eq!(
                effects.contains(&Effect::Spawn(RunId(5))),
                waits,
                "{cause:?}"
            );
        }
    }
}
