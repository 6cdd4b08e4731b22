//! Jobs: a further run that is due follows the present one, once.

use super::tests::{exited, ms, rules, up};
use super::*;

fn job() -> Rules {
    let mut rules = rules();
    rules.restart.auto = false;
    rules.overlap = false;
    rules
}

/// An instance whose first run goes on.
fn running(rules: &Rules) -> Lifecycle {
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    assert_eq!(
        lifecycle.step(Event::Start, rules, ms(0)),
        [Effect::Spawn(RunId(1))]
    );
    lifecycle.step(up(1), rules, ms(0));
    lifecycle
}

fn spawned(effects: &[Effect]) -> Vec<u64> {
    let spawned = effects.iter().filter_map(|effect| match effect {
        Effect::Spawn(run) => Some(run.0),
        _ => None,
    });
    spawned.collect()
}

#[test]
fn one_run_follows_however_often_it_is_due() {
    let rules = job();
    let mut lifecycle = running(&rules);
    for second in 1..4 {
        assert_eq!(lifecycle.step(Event::Due, &rules, ms(second * 1000)), []);
    }
    let effects = lifecycle.step(exited(1, 3), &rules, ms(5000));
    assert_eq!(spawned(&effects), [2]);
    let effects = lifecycle.step(exited(2, 0), &rules, ms(6000));
    assert_eq!(spawned(&effects), [0; 0]);
    assert!(lifecycle.is_at_rest());
    assert_eq!(lifecycle.restarts(), 0);
}

#[test]
fn what_rests_is_not_started_by_it() {
    let rules = job();
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    assert_eq!(lifecycle.step(Event::Due, &rules, ms(0)), []);
    assert!(lifecycle.is_at_rest());
}

/// Whatever a command wants, it is not followed by a run that was due before.
#[test]
fn commands_forget_what_is_due() {
    for command in [
        Event::Stop,
        Event::Remove,
        Event::Start,
        Event::Restart,
        Event::Renew,
        Event::Reload,
        Event::TryOut,
    ] {
        let rules = job();
        let mut lifecycle = running(&rules);
        lifecycle.step(Event::Due, &rules, ms(1000));
        lifecycle.step(command, &rules, ms(2000));
        let mut last = 1;
        for end in 3..9 {
            let effects = lifecycle.step(exited(last, 0), &rules, ms(end * 1000));
            if let [next] = spawned(&effects)[..] {
                last = next;
            }
        }
        let runs = match command {
            Event::Stop | Event::Remove | Event::Start => 1,
            _ => 2,
        };
        assert_eq!(last, runs, "{command:?}");
        assert!(lifecycle.is_at_rest(), "{command:?}");
    }
}
