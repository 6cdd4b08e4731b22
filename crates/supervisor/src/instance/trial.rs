//! Successors on trial: both serve until the new one has been up for a moment.

use telemetry::events::Exit;

use super::tests::{exited, listening, ms, rules, up};
use super::*;

/// What is to be seen of a trial.
type Seen = Vec<(u64, Effect)>;

/// What is done between a trial's beginning at 0 and its end, given what happens when.
fn trial(rules: &Rules, happens: &[(u64, Event)]) -> (Seen, State) {
    let mut lifecycle = listening(rules);
    let mut seen = Vec::new();
    for at in 0..10_000 {
        let events = happens.iter().filter(|(when, _)| *when == at);
        let events = events.map(|(_, event)| *event).chain([Event::Time]);
        for event in events {
            let effects = lifecycle.step(event, rules, ms(at));
            seen.extend(effects.into_iter().map(|effect| (at, effect)));
        }
    }
    (seen, lifecycle.state())
}

fn outcomes(seen: &Seen) -> Vec<(u64, Outcome)> {
    let settled = seen.iter().filter_map(|(at, effect)| match effect {
        Effect::Settled(outcome) => Some((*at, *outcome)),
        _ => None,
    });
    settled.collect()
}

/// When each process is asked to end.
fn asked(seen: &Seen) -> Vec<(u64, u64)> {
    let asked = seen.iter().filter_map(|(at, effect)| match effect {
        Effect::Ask(run) => Some((*at, run.0)),
        _ => None,
    });
    asked.collect()
}

fn runs(state: State) -> Option<u64> {
    match state {
        State::Running(run) => Some(run.id.0),
        State::Resting(_) | State::Waiting { .. } | State::Replacing { .. } => None,
    }
}

/// What happens to the one on trial → when which process is asked to end, what comes of the command,
/// and which one serves.
#[test]
fn the_old_one_stays_until_the_new_one_has_been_up_for_a_moment() {
    const BEGIN: (u64, Event) = (0, Event::TryOut);
    let crash = |at| (at, exited(2, 1));
    let failed = |after| Outcome::Failed(Exit::Code(1), ms(after));
    let shuts = Event::Listens {
        run: RunId(2),
        listening: false,
    };
    let listens = Outcome::Up { listens: true };
    type Happens = Vec<(u64, Event)>;
    type Expected = (Vec<(u64, u64)>, Vec<(u64, Outcome)>, u64);
    let unwell = |at| (at, Event::Unwell { run: RunId(2) });
    let cases: [(&str, Happens, Expected); 10] = [
        (
            "it stays up",
            vec![BEGIN, (200, up(2))],
            (vec![(2200, 1)], vec![(2200, listens)], 2),
        ),
        (
            "it crashes a second after it listens",
            vec![BEGIN, (200, up(2)), crash(1200)],
            (vec![], vec![(1200, failed(1000))], 1),
        ),
        (
            "the same, and its listener is seen to close first",
            vec![BEGIN, (200, up(2)), (1199, shuts), crash(1200)],
            (vec![], vec![(1200, failed(1000))], 1),
        ),
        (
            "it crashes at boot",
            vec![BEGIN, crash(100)],
            (vec![], vec![(100, Outcome::Exited(Exit::Code(1)))], 1),
        ),
        (
            "it is not up in time",
            vec![BEGIN],
            (vec![(3000, 2)], vec![(3000, Outcome::NotUp)], 1),
        ),
        (
            "it is heard of twice",
            vec![BEGIN, (200, up(2)), (1200, up(2))],
            (vec![(2200, 1)], vec![(2200, listens)], 2),
        ),
        (
            "it closes its listener",
            vec![BEGIN, (200, up(2)), (1200, shuts)],
            (vec![(4200, 2)], vec![(4200, Outcome::NotUp)], 1),
        ),
        (
            "it closes its listener, and listens again",
            vec![BEGIN, (200, up(2)), (1200, shuts), (1300, up(2))],
            (vec![(3300, 1)], vec![(3300, listens)], 2),
        ),
        (
            "it fails its health check",
            vec![BEGIN, (200, up(2)), unwell(1200)],
            (vec![(4200, 2)], vec![(4200, Outcome::NotUp)], 1),
        ),
        (
            "it fails its health check, and passes another one",
            vec![BEGIN, (200, up(2)), unwell(1200), (1700, up(2))],
            (vec![(3700, 1)], vec![(3700, listens)], 2),
        ),
    ];
    for (name, happens, (ends, outcome, serves)) in cases {
        let (seen, state) = trial(&rules(), &happens);
        assert_eq!(asked(&seen), ends, "{name}");
        assert_eq!(outcomes(&seen), outcome, "{name}");
        assert_eq!(runs(state), Some(serves), "{name}");
    }
}

/// Where the old one ends meanwhile, the new one has to do as it is.
#[test]
fn who_is_left_serves() {
    let happens = [(0, Event::TryOut), (200, up(2)), (500, exited(1, 1))];
    let (seen, state) = trial(&rules(), &happens);
    assert_eq!(runs(state), Some(2));
    assert_eq!(asked(&seen), []);
}

/// Without `min_uptime` there is no trial, and a long one has a bound.
#[test]
fn a_trial_takes_twice_min_uptime() {
    for (min_uptime, takes) in [(0, 0), (100, 200), (1000, 2000), (60_000, 10_000)] {
        let mut rules = rules();
        rules.restart.min_uptime = ms(min_uptime);
        assert_eq!(rules.trial(), ms(takes));
    }
}
