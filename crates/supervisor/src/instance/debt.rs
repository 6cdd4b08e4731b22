//! What an instance owes for runs that ended too soon. It decides how long the next restart is put
//! off, and when there is none any more.
//!
//! A run that ends before it has listened for `min_uptime` adds one; the time that it has served
//! pays back. So one that crashes as soon as it starts owes one for each crash, and one that is
//! killed between answers owes next to nothing, however often that happens.

use std::time::Duration;

use config::{Pause, Restart};

/// The longest of the pauses that grow.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// One run that ended too soon, in the unit of the account.
const RUN: u32 = 1000;

/// Half of `min_uptime` in service pays for one such run: whoever serves for longer than that
/// before each end owes less each time.
const PAYBACK: u32 = 2;

/// So many runs that served and ended too soon are followed by the next one at once. The fourth in
/// a row is no accident.
const AT_ONCE: u32 = 3;

/// How a run ended, as far as the account goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lived {
    /// From its start to its end.
    pub(super) uptime: Duration,
    /// From when it listened to its end; `None` if it never did.
    pub(super) served: Option<Duration>,
}

/// The account of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Debt {
    owed: u32,
    /// When the next start was planned, before it was brought forward.
    planned: Option<Duration>,
}

impl Debt {
    /// The account after this many runs that ended at once.
    pub(super) fn of(runs: u32) -> Self {
        Self {
            owed: runs.saturating_mul(RUN),
            planned: None,
        }
    }

    /// The number of runs that are owed; one that is paid in part counts in full.
    pub(super) fn runs(self) -> u32 {
        self.owed.div_ceil(RUN)
    }

    /// The next start, planned for this moment, comes earlier.
    pub(super) fn bring_forward(&mut self, planned: Duration) {
        self.planned.get_or_insert(planned);
    }

    /// A run has ended: how long the next one is put off. `None` if there is none.
    pub(super) fn after(
        &mut self,
        lived: Lived,
        restart: &Restart,
        now: Duration,
    ) -> Option<Duration> {
        let planned = self.planned.take();
        let too_soon = self.credit(lived, restart.min_uptime);
        // A run that was brought forward, and failed, was not due yet: it costs nothing, and the
        // plan stands.
        if let Some(left) = planned.and_then(|at| at.checked_sub(now))
            && too_soon
            && !left.is_zero()
        {
            return Some(left);
        }
        if self.runs() >= restart.max_unstable {
            return None;
        }
        let pause = self.pause(lived.served.is_some(), restart.pause);
        self.owed = self.owed.saturating_add(RUN);
        Some(pause)
    }

    /// Credits a run that has ended. Whether it ended too soon.
    fn credit(&mut self, lived: Lived, min_uptime: Duration) -> bool {
        let counted = lived.served.unwrap_or(lived.uptime);
        if counted >= min_uptime {
            *self = Self::default();
            return false;
        }
        let served = lived.served.unwrap_or_default().as_micros();
        let paid = served * u128::from(PAYBACK * RUN) / min_uptime.as_micros().max(1);
        let paid = u32::try_from(paid).unwrap_or(u32::MAX);
        self.owed = self.owed.saturating_sub(paid);
        true
    }

    fn pause(self, served: bool, pause: Pause) -> Duration {
        match pause {
            Pause::Fixed(pause) => pause,
            Pause::Growing(first) => growing(first, self.runs()),
            Pause::Earned(_) if served && self.runs() < AT_ONCE => Duration::ZERO,
            Pause::Earned(first) if served => growing(first, self.runs() - AT_ONCE),
            Pause::Earned(first) => growing(first, self.runs()),
        }
    }
}

/// The pause after a number of others.
fn growing(first: Duration, earlier: u32) -> Duration {
    if first.is_zero() {
        return first;
    }
    (0..earlier)
        .try_fold(first, |pause, _| {
            let longer = pause + pause / 2;
            (longer < LONGEST_PAUSE).then_some(longer)
        })
        .unwrap_or(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ms, rules};
    use super::*;

    fn restart(pause: Pause) -> Restart {
        Restart {
            max_unstable: u32::MAX,
            pause,
            ..rules().restart
        }
    }

    const EARNED: Pause = Pause::Earned(Duration::from_millis(100));

    /// The pause after each of these runs: how long each ran until it listened, and served then.
    fn pauses(runs: &[(u64, Option<u64>)], restart: &Restart) -> Vec<u64> {
        let mut debt = Debt::default();
        let pause = |(boot, served): &(u64, Option<u64>)| {
            let lived = Lived {
                uptime: ms(boot + served.unwrap_or(0)),
                served: served.map(ms),
            };
            let pause = debt.after(lived, restart, ms(0)).unwrap();
            u64::try_from(pause.as_millis()).unwrap()
        };
        runs.iter().map(pause).collect()
    }

    #[test]
    fn pauses_follow_from_what_was_served() {
        let restart = restart(EARNED);
        let crash = (5, None);
        let glimpse = (50, Some(1));
        let short = (50, Some(150));
        let half = (50, Some(500));
        let long = (50, Some(1000));
        let table: &[(&[_], &[u64])] = &[
            // Those that never listen wait, and longer each time.
            (&[crash; 5], &[100, 150, 225, 337, 506]),
            // Those that serve are followed at once, however often they end.
            (&[long; 8], &[0; 8]),
            (&[half; 8], &[0; 8]),
            (&[short], &[0]),
            // Those that serve for a moment only, again and again, come to wait, too.
            (&[glimpse; 6], &[0, 0, 0, 100, 150, 225]),
            (&[short; 6], &[0, 0, 0, 100, 100, 150]),
            // Time served pays.
            (&[crash, crash, long, crash], &[100, 150, 0, 150]),
            (&[crash, crash, half, crash], &[100, 150, 0, 225]),
            (
                &[glimpse, glimpse, glimpse, half, glimpse],
                &[0, 0, 0, 0, 100],
            ),
            // A slow start pays nothing, but a run of min_uptime ends the account.
            (&[(900, None), (900, None)], &[100, 150]),
            (&[(1100, None), (1100, None)], &[100, 100]),
            (&[(5000, Some(0)); 4], &[0, 0, 0, 100]),
        ];
        for (runs, expected) in table {
            assert_eq!(pauses(runs, &restart), *expected, "{runs:?}");
        }
    }

    #[test]
    fn pauses_that_the_config_names_hold_for_all_runs() {
        let runs = [(50, Some(10)), (5, None), (50, Some(400)), (50, Some(9000))];
        let fixed = restart(Pause::Fixed(ms(70)));
        assert_eq!(pauses(&runs, &fixed), [70; 4]);
        let growing = restart(Pause::Growing(ms(100)));
        assert_eq!(pauses(&runs, &growing), [100, 150, 225, 100]);
    }

    #[test]
    fn runs_that_end_at_once_are_owed_one_each_up_to_the_limit() {
        let mut restart = restart(EARNED);
        restart.max_unstable = 40;
        let mut debt = Debt::default();
        let lived = |served| Lived {
            uptime: ms(30),
            served,
        };
        for owed in 0..40 {
            assert_eq!(debt.runs(), owed);
            let served = (owed % 2 == 0).then_some(Duration::ZERO);
            assert!(debt.after(lived(served), &restart, ms(0)).is_some());
        }
        assert_eq!(debt, Debt::of(40));
        assert_eq!(debt.after(lived(None), &restart, ms(0)), None);
    }

    #[test]
    fn what_is_brought_forward_costs_nothing_until_it_was_due() {
        let restart = restart(EARNED);
        let crash = Lived {
            uptime: ms(5),
            served: None,
        };
        let mut debt = Debt::of(12);
        let due = debt.after(crash, &restart, ms(1000)).unwrap() + ms(1000);
        let owed = debt.runs();
        for now in (2000..13_000).step_by(1000).map(ms) {
            debt.bring_forward(due);
            assert_eq!(debt.after(crash, &restart, now), Some(due - now));
            assert_eq!(debt.runs(), owed);
        }
        debt.bring_forward(due);
        assert_eq!(debt.after(crash, &restart, due), Some(LONGEST_PAUSE));
        assert_eq!(debt.runs(), owed + 1);
        // One that serves has nothing to wait for.
        debt.bring_forward(due + ms(9000));
        let serves = Lived {
            uptime: ms(1100),
            served: Some(ms(1000)),
        };
        assert_eq!(debt.after(serves, &restart, due), Some(ms(0)));
    }

    /// Whatever lives are led: time never costs, an end after half of `min_uptime` in service adds
    /// nothing, and pauses stay within their bound.
    #[test]
    fn no_order_of_runs_punishes_service() {
        let restart = restart(EARNED);
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut debt = Debt::default();
            for run in 1..200 {
                let before = debt.owed;
                let served = (random.u64(..3) > 0).then(|| ms(random.u64(..1500)));
                let uptime = served.unwrap_or_default() + ms(random.u64(..1500));
                let pause = debt.after(Lived { uptime, served }, &restart, ms(0));
                assert!(pause.unwrap() <= LONGEST_PAUSE);
                assert!(debt.owed <= before + RUN, "seed {seed}: time costs nothing");
                if served.is_some_and(|served| served >= ms(500)) {
                    assert!(debt.owed <= before.max(RUN), "seed {seed}: service pays");
                }
                assert!(debt.runs() <= run, "seed {seed}");
            }
        }
    }

    #[test]
    fn pauses_have_an_end() {
        assert_eq!(growing(ms(100), 1000), LONGEST_PAUSE);
        assert_eq!(growing(ms(0), u32::MAX), ms(0));
        assert_eq!(Debt::of(u32::MAX).pause(true, EARNED), LONGEST_PAUSE);
    }

    #[test]
    fn without_min_uptime_every_run_is_long_enough() {
        let mut restart = restart(EARNED);
        (restart.min_uptime, restart.max_unstable) = (ms(0), 1);
        let mut debt = Debt::default();
        let lived = Lived {
            uptime: ms(0),
            served: None,
        };
        for _ in 0..10 {
            assert_eq!(debt.after(lived, &restart, ms(0)), Some(ms(100)));
        }
    }
}
