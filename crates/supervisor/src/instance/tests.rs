//! What an instance does, event by event.

use telemetry::events::Exit;

use super::*;
use config::{Pause, Restart};
use std::collections::BTreeSet;

pub(super) fn rules() -> Rules {
    Rules {
        restart: Restart {
            auto: true,
            autostart: true,
            max_unstable: 3,
            min_uptime: ms(1000),
            pause: Pause::Growing(ms(100)),
            stop_exit_codes: BTreeSet::from([7]),
        },
        drains: false,
        drain_timeout: ms(30_000),
        kill_timeout: ms(1600),
        listen_timeout: ms(3000),
        wait_ready: false,
        overlap: true,
    }
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An instance whose only process listens since the beginning.
pub(super) fn listening(rules: &Rules) -> Lifecycle {
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    assert_eq!(
        lifecycle.step(Event::Start, rules, ms(0)),
        [Effect::Spawn(RunId(1))]
    );
    let outcome = Outcome::Up { listens: true };
    assert_eq!(
        lifecycle.step(up(1), rules, ms(0)),
        [Effect::Settled(outcome)]
    );
    lifecycle
}

pub(super) fn up(run: u64) -> Event {
    let (run, listening) = (RunId(run), true);
    Event::Up { run, listening }
}

pub(super) fn exited(run: u64, code: i32) -> Event {
    let (run, status) = (RunId(run), Exit::Code(code));
    Event::Exited { run, status }
}

/// What is done with a process that does not drain.
fn ends(run: u64, cause: Cause) -> [Effect; 2] {
    let run = RunId(run);
    [Effect::Drain(run, cause), Effect::Ask(run)]
}

fn with(first: Effect, rest: &[Effect]) -> Vec<Effect> {
    [&[first][..], rest].concat()
}

/// What has been told of ends, and what came of commands.
fn told(effects: &[Effect]) -> (Vec<Next>, Vec<Outcome>) {
    let next = effects.iter().filter_map(|effect| match effect {
        Effect::Tell { next, .. } => Some(next.clone()),
        _ => None,
    });
    let outcomes = effects.iter().filter_map(|effect| match effect {
        Effect::Settled(outcome) => Some(*outcome),
        _ => None,
    });
    (next.collect(), outcomes.collect())
}

/// Where maitred or the system is at a limit, that is nothing of the app's: it counts as no crash.
#[test]
fn a_process_that_had_no_room_is_tried_again_and_counts_for_nothing() {
    let no_room = |run| Event::NoRoom {
        run,
        status: Exit::Code(126),
    };
    let mut rules = rules();
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    for run in 1..100 {
        let now = ms(1000 * (run - 1));
        let (next, outcomes) = told(&lifecycle.step(no_room(RunId(run)), &rules, now));
        assert_eq!(next, [Next::Retry { delay: 1000 }]);
        // Whoever has started it hears of it once.
        let failed = Outcome::Exited(Exit::Code(126));
        assert_eq!(outcomes, [failed][..usize::from(run == 1)]);
        let effects = lifecycle.step(Event::Time, &rules, now + ms(1000));
        assert_eq!(effects, [Effect::Spawn(RunId(run + 1))]);
    }
    assert_eq!((lifecycle.unstable(), lifecycle.restarts()), (0, 0));

    // A successor: the one before it goes on.
    let mut lifecycle = listening(&rules);
    lifecycle.step(Event::Reload, &rules, ms(5));
    let (next, _) = told(&lifecycle.step(no_room(RunId(2)), &rules, ms(5)));
    assert_eq!(next, [Next::Kept]);
    assert_eq!(lifecycle.current().map(|run| run.id), Some(RunId(1)));

    // One that is not to be restarted ends there.
    rules.restart.auto = false;
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    let (next, _) = told(&lifecycle.step(no_room(RunId(1)), &rules, ms(0)));
    assert_eq!(next, [Next::Ended]);
    assert!(lifecycle.is_at_rest());
}

#[test]
fn pauses_grow_and_the_last_crash_is_an_error() {
    let rules = rules();
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    let mut now = ms(0);
    for (run, delay) in [(1, 100), (2, 150), (3, 225)] {
        now += ms(5);
        let (next, _) = told(&lifecycle.step(exited(run, 1), &rules, now));
        let attempt = u32::try_from(run).unwrap();
        let max = 3;
        let restart = Next::Restart {
            delay,
            attempt,
            max,
        };
        assert_eq!(next, [restart]);
        now += ms(delay);
        assert_eq!(lifecycle.next_time(&rules), Some(now));
        let effects = lifecycle.step(Event::Time, &rules, now);
        assert_eq!(effects, [Effect::Spawn(RunId(run + 1))]);
    }
    let (next, _) = told(&lifecycle.step(exited(4, 1), &rules, now));
    assert_eq!(next, [Next::Errored { attempts: 3 }]);
    assert_eq!(lifecycle.state(), State::Resting(Rest::Errored));
    assert!(lifecycle.is_at_rest());
}

#[test]
fn a_stable_run_forgives_the_crashes_before_it() {
    let rules = rules();
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    let mut now = ms(0);
    for run in 1..40 {
        now += if run % 2 == 0 { ms(1000) } else { ms(5) };
        let (next, _) = told(&lifecycle.step(exited(run, 1), &rules, now));
        assert!(
            matches!(next[..], [Next::Restart { .. }]),
            "{run}: {next:?}"
        );
        now = lifecycle.next_time(&rules).unwrap();
        lifecycle.step(Event::Time, &rules, now);
    }
    assert_eq!(lifecycle.restarts(), 39);
}

#[test]
fn one_that_has_served_is_followed_at_once() {
    let mut rules = rules();
    rules.restart.pause = Pause::Earned(ms(100));
    let mut lifecycle = listening(&rules);
    let effects = lifecycle.step(exited(1, 1), &rules, ms(600));
    let restart = Next::Restart {
        delay: 0,
        attempt: 1,
        max: 3,
    };
    assert_eq!(told(&effects).0, [restart]);
    assert_eq!(effects.last(), Some(&Effect::Spawn(RunId(2))));
}

#[test]
fn clients_that_wait_bring_an_earned_pause_forward_and_no_other() {
    let crash_and_hurry = |pause| {
        let mut rules = rules();
        rules.restart.pause = pause;
        let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 2);
        // With a clean slate only if a command starts it; so it goes on as it was.
        lifecycle.state = State::Waiting { until: ms(0) };
        lifecycle.step(Event::Time, &rules, ms(0));
        lifecycle.step(exited(1, 1), &rules, ms(5));
        if lifecycle.put_off_until(&rules).is_some() {
            lifecycle.step(Event::Hurry { by: ms(10) }, &rules, ms(6));
        }
        let due = lifecycle.next_time(&rules).unwrap();
        // It comes to nothing, before it was due: no attempt more than was owed.
        lifecycle.step(Event::Time, &rules, due);
        let (next, _) = told(&lifecycle.step(exited(2, 1), &rules, due + ms(1)));
        (due, next)
    };
    let again = |delay| {
        let (attempt, max) = (3, 3);
        vec![Next::Restart {
            delay,
            attempt,
            max,
        }]
    };
    let (due, next) = crash_and_hurry(Pause::Earned(ms(100)));
    assert_eq!((due, next), (ms(10), again(5 + 225 - 11)));
    let errored = vec![Next::Errored { attempts: 3 }];
    let (due, next) = crash_and_hurry(Pause::Growing(ms(100)));
    assert_eq!((due, &next), (ms(230), &errored));
    let (due, next) = crash_and_hurry(Pause::Fixed(ms(500)));
    assert_eq!((due, next), (ms(505), errored));
}

#[test]
fn a_code_that_ends_it_ends_it() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    let (next, _) = told(&lifecycle.step(exited(1, 7), &rules, ms(5)));
    assert_eq!(next, [Next::Ended]);
    assert_eq!(
        lifecycle.state(),
        State::Resting(Rest::Ended(Exit::Code(7)))
    );
}

#[test]
fn a_stop_waits_for_the_end_and_kills_what_does_not_come_to_it() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    let effects = lifecycle.step(Event::Stop, &rules, ms(10));
    assert_eq!(effects, ends(1, Cause::Stopped));
    assert!(!lifecycle.is_at_rest());
    assert_eq!(lifecycle.next_time(&rules), Some(ms(1610)));
    assert_eq!(lifecycle.step(Event::Time, &rules, ms(1609)), []);
    assert_eq!(
        lifecycle.step(Event::Time, &rules, ms(1610)),
        [Effect::Kill(RunId(1))]
    );
    assert_eq!(lifecycle.next_time(&rules), None);
    let effects = lifecycle.step(exited(1, 1), &rules, ms(1611));
    assert_eq!(
        told(&effects),
        (vec![Next::Stopped], vec![Outcome::Stopped])
    );
    assert!(lifecycle.is_at_rest());
    let effects = lifecycle.step(Event::Stop, &rules, ms(1700));
    assert_eq!(effects, [Effect::Settled(Outcome::Stopped)]);
}

#[test]
fn a_restart_starts_when_the_one_before_is_gone() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    let effects = lifecycle.step(Event::Restart, &rules, ms(10));
    assert_eq!(effects, ends(1, Cause::Restarted));
    let effects = lifecycle.step(exited(1, 0), &rules, ms(20));
    assert_eq!(told(&effects).0, [Next::Stopped]);
    assert_eq!(effects.last(), Some(&Effect::Spawn(RunId(2))));
    assert_eq!(lifecycle.restarts(), 1);
}

/// As pm2 counts: a process that follows one that ran, and no start after a stop.
#[test]
fn restarts_are_counted_when_the_next_one_starts() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    let stopped = |lifecycle: &mut Lifecycle, run| {
        lifecycle.step(Event::Stop, &rules, ms(10));
        lifecycle.step(exited(run, 0), &rules, ms(10));
    };
    stopped(&mut lifecycle, 1);
    for (run, event) in [(2, Event::Start), (3, Event::Restart), (4, Event::Reload)] {
        let effects = lifecycle.step(event, &rules, ms(20));
        assert_eq!(effects, [Effect::Spawn(RunId(run))]);
        assert_eq!(lifecycle.restarts(), 0, "{event:?} of what was stopped");
        stopped(&mut lifecycle, run);
    }
    lifecycle.step(Event::Start, &rules, ms(30));
    // A restart of what runs counts when the old one has left, and not if a stop comes in between.
    lifecycle.step(Event::Restart, &rules, ms(30));
    assert_eq!(lifecycle.restarts(), 0);
    lifecycle.step(Event::Stop, &rules, ms(30));
    lifecycle.step(Event::Start, &rules, ms(30));
    lifecycle.step(exited(5, 0), &rules, ms(30));
    assert_eq!(lifecycle.restarts(), 0);
    lifecycle.step(Event::Restart, &rules, ms(30));
    lifecycle.step(Event::Start, &rules, ms(30));
    lifecycle.step(exited(6, 0), &rules, ms(30));
    assert_eq!(lifecycle.restarts(), 1);
    // A crash counts when the pause is over.
    lifecycle.step(exited(7, 1), &rules, ms(30));
    assert_eq!(lifecycle.restarts(), 1);
    let due = lifecycle.next_time(&rules).unwrap();
    lifecycle.step(Event::Time, &rules, due);
    assert_eq!(lifecycle.restarts(), 2);
}

#[test]
fn a_reload_lets_the_old_one_go_when_the_new_one_listens() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    assert_eq!(
        lifecycle.step(Event::Reload, &rules, ms(10)),
        [Effect::Spawn(RunId(2))]
    );
    assert_eq!(lifecycle.current().unwrap().id, RunId(1));
    let effects = lifecycle.step(up(2), &rules, ms(500));
    let up = Effect::Settled(Outcome::Up { listens: true });
    assert_eq!(effects, with(up, &ends(1, Cause::Replaced)));
    assert_eq!(lifecycle.current().unwrap().id, RunId(2));
    let (next, _) = told(&lifecycle.step(exited(1, 0), &rules, ms(510)));
    assert_eq!(next, [Next::Stopped]);
    assert!(matches!(lifecycle.state(), State::Running(run) if run.id == RunId(2)));
}

#[test]
fn a_reload_that_fails_keeps_the_old_one() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    lifecycle.step(Event::Reload, &rules, ms(10));
    let effects = lifecycle.step(exited(2, 1), &rules, ms(20));
    let failed = Outcome::Exited(Exit::Code(1));
    assert_eq!(told(&effects), (vec![Next::Kept], vec![failed]));
    assert_eq!(lifecycle.current().unwrap().id, RunId(1));

    lifecycle.step(Event::Reload, &rules, ms(100));
    assert_eq!(lifecycle.next_time(&rules), Some(ms(3100)));
    let effects = lifecycle.step(Event::Time, &rules, ms(3100));
    let not_up = Effect::Settled(Outcome::NotUp);
    assert_eq!(effects, with(not_up, &ends(3, Cause::Replaced)));
    assert_eq!(lifecycle.current().unwrap().id, RunId(1));
    assert_eq!(lifecycle.restarts(), 0);
}

#[test]
fn without_overlap_the_old_one_goes_first() {
    let rules = Rules {
        overlap: false,
        ..rules()
    };
    let mut lifecycle = listening(&rules);
    let effects = lifecycle.step(Event::Reload, &rules, ms(10));
    assert_eq!(effects, ends(1, Cause::Restarted));
    let effects = lifecycle.step(exited(1, 0), &rules, ms(20));
    assert_eq!(effects.last(), Some(&Effect::Spawn(RunId(2))));
}

#[test]
fn who_never_listened_need_not_on_a_reload() {
    let rules = rules();
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    assert_eq!(lifecycle.step(Event::Time, &rules, ms(2999)), []);
    let effects = lifecycle.step(Event::Time, &rules, ms(3000));
    let up = Effect::Settled(Outcome::Up { listens: false });
    assert_eq!(effects, std::slice::from_ref(&up));
    lifecycle.step(Event::Reload, &rules, ms(4000));
    assert_eq!(lifecycle.next_time(&rules), Some(ms(7000)));
    let effects = lifecycle.step(Event::Time, &rules, ms(7000));
    assert_eq!(effects, with(up.clone(), &ends(1, Cause::Replaced)));
    // One that has less time is not late for that.
    let rules = Rules {
        listen_timeout: ms(500),
        ..rules
    };
    lifecycle.step(exited(1, 0), &rules, ms(7000));
    lifecycle.step(Event::Reload, &rules, ms(8000));
    let effects = lifecycle.step(Event::Time, &rules, ms(8500));
    assert_eq!(effects, with(up, &ends(2, Cause::Replaced)));
}

#[test]
fn who_is_to_tell_has_to_tell() {
    let rules = Rules {
        wait_ready: true,
        ..rules()
    };
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    assert_eq!(lifecycle.step(Event::Time, &rules, ms(2999)), []);
    let effects = lifecycle.step(Event::Time, &rules, ms(3000));
    assert_eq!(effects, [Effect::Settled(Outcome::NotUp)]);
    assert_eq!(lifecycle.next_time(&rules), None);
}

#[test]
fn a_newer_command_takes_the_place_of_an_older_one() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    lifecycle.step(Event::Reload, &rules, ms(10));
    let effects = lifecycle.step(Event::Stop, &rules, ms(20));
    let superseded = Effect::Settled(Outcome::Superseded);
    let both = [ends(1, Cause::Stopped), ends(2, Cause::Stopped)].concat();
    assert_eq!(effects, with(superseded, &both));
}

#[test]
fn codes_are_those_of_a_shell() {
    assert_eq!(Exit::Code(3).exit_code(), 3);
    assert_eq!(Exit::Signal(9).exit_code(), 137);
    assert_eq!(Exit::Code(-1).exit_code(), 255);
}

#[test]
fn one_that_cannot_do_what_is_asked_for_is_not_started_again() {
    let rules = rules();
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    lifecycle.step(Event::Start, &rules, ms(0));
    let effects = lifecycle.step(Event::Unfit { run: RunId(1) }, &rules, ms(10));
    let unfit = Effect::Settled(Outcome::Unfit);
    assert_eq!(effects, with(unfit, &ends(1, Cause::Stopped)));
    let status = Exit::Signal(2);
    let effects = lifecycle.step(
        Event::Exited {
            run: RunId(1),
            status,
        },
        &rules,
        ms(20),
    );
    assert_eq!(told(&effects), (vec![Next::Stopped], vec![]));
    assert_eq!(lifecycle.state(), State::Resting(Rest::Errored));
    assert_eq!(lifecycle.next_time(&rules), None);
}

#[test]
fn a_successor_that_cannot_do_what_is_asked_for_leaves_the_old_one_serving() {
    let rules = rules();
    let mut lifecycle = listening(&rules);
    lifecycle.step(Event::Reload, &rules, ms(10));
    // Heard of the old one it changes nothing.
    let effects = lifecycle.step(Event::Unfit { run: RunId(1) }, &rules, ms(15));
    assert_eq!(effects, []);
    let effects = lifecycle.step(Event::Unfit { run: RunId(2) }, &rules, ms(20));
    let unfit = Effect::Settled(Outcome::Unfit);
    assert_eq!(effects, with(unfit, &ends(2, Cause::Replaced)));
    let serves = lifecycle.current().map(|run| run.id);
    assert_eq!(serves, Some(RunId(1)));
}
