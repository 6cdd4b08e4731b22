//! How a process ends: what causes it × what it still has to do.

use config::Pause;

use super::tests::{exited, listening, ms, rules, up};
use super::*;

/// What is open when the process is to end, and how long it takes by itself.
#[derive(Clone, Copy, Debug)]
enum Open {
    Nothing,
    /// Requests that are answered in time.
    Requests,
    /// Some that are not.
    Endless,
}

const OPEN: [Open; 3] = [Open::Nothing, Open::Requests, Open::Endless];

/// What ends a process: the events, the process, and the cause that follows from them.
const CAUSES: [(&str, &[Event], Cause); 6] = [
    ("stop", &[Event::Stop], Cause::Stopped),
    ("scale", &[Event::Remove], Cause::Removed),
    ("restart", &[Event::Restart], Cause::Restarted),
    ("a trigger", &[Event::Renew], Cause::Restarted),
    (
        "reload",
        &[
            Event::Reload,
            Event::Up {
                run: RunId(2),
                listening: true,
            },
        ],
        Cause::Replaced,
    ),
    ("unfit", &[Event::Unfit { run: RunId(1) }], Cause::Stopped),
];

fn draining() -> Rules {
    Rules {
        drains: true,
        ..rules()
    }
}

/// What is done with the first process, by time.
fn life_of(rules: &Rules, events: &[Event], open: Open) -> Vec<(u64, Effect)> {
    let mut lifecycle = listening(rules);
    let mut seen = Vec::new();
    let mut step = |event, at: u64| {
        let effects = lifecycle.step(event, rules, ms(at));
        let its = effects.into_iter().filter(|effect| {
            matches!(
                effect,
                Effect::Drain(RunId(1), _)
                    | Effect::Waits(RunId(1), ..)
                    | Effect::Ask(RunId(1))
                    | Effect::Kill(RunId(1))
            )
        });
        seen.extend(its.map(|effect| (at, effect)));
    };
    for event in events {
        step(*event, 100);
    }
    for at in 101..40_000 {
        let drained = match open {
            Open::Nothing => at == 101,
            Open::Requests => at == 5000,
            Open::Endless => false,
        };
        match drained {
            true => step(Event::Drained { run: RunId(1) }, at),
            false => step(Event::Time, at),
        }
    }
    seen
}

/// There is one way: nothing new, what is in progress until `drain_timeout`, the signal, SIGKILL after
/// `kill_timeout`. What differs is what is waited for, and that the cause tells.
#[test]
fn a_process_ends_in_one_way_whatever_calls_for_it() {
    for (name, events, cause) in CAUSES {
        for open in OPEN {
            let drain = (100, Effect::Drain(RunId(1), cause));
            let waits = (1100, Effect::Waits(RunId(1), cause, 29_000));
            let ask = |at| {
                [
                    (at, Effect::Ask(RunId(1))),
                    (at + 1600, Effect::Kill(RunId(1))),
                ]
            };
            let expected = match open {
                Open::Nothing => [&[drain][..], &ask(101)].concat(),
                Open::Requests => [&[drain, waits][..], &ask(5000)].concat(),
                Open::Endless => [&[drain, waits][..], &ask(30_100)].concat(),
            };
            let seen = life_of(&draining(), events, open);
            assert_eq!(seen, expected, "{name}, {open:?}");
        }
        // Where nothing can be seen of its connections, it is asked at once.
        let seen = life_of(&rules(), events, Open::Endless);
        let ask = [(100, Effect::Ask(RunId(1))), (1700, Effect::Kill(RunId(1)))];
        assert_eq!(
            seen,
            [&[(100, Effect::Drain(RunId(1), cause))][..], &ask].concat(),
            "{name}"
        );
    }
}

/// Which causes wait for connections that only the app could end.
#[test]
fn opaque_connections_are_waited_for_where_nobody_waits_for_the_process() {
    let waits = CAUSES.map(|(name, _, cause)| (name, cause.waits_for_opaque()));
    let expected = [
        ("stop", false),
        ("scale", true),
        ("restart", false),
        ("a trigger", false),
        ("reload", true),
        ("unfit", false),
    ];
    assert_eq!(waits, expected);
}

/// A command while a process drains: first × second → what it does at once.
#[test]
fn another_command_goes_on_with_a_drain_and_the_same_one_cuts_it_short() {
    let turns = |to| vec![Effect::Drain(RunId(1), to)];
    let asks = vec![Effect::Ask(RunId(1))];
    for (name, first, cause) in CAUSES.into_iter().filter(|(name, ..)| *name != "unfit") {
        for second in [
            Event::Start,
            Event::Reload,
            Event::TryOut,
            Event::Stop,
            Event::Remove,
            Event::Restart,
            Event::Renew,
            Event::Cut,
        ] {
            let rules = draining();
            let mut lifecycle = listening(&rules);
            for event in first {
                lifecycle.step(*event, &rules, ms(100));
            }
            let effects = lifecycle.step(second, &rules, ms(200));
            let its = effects.into_iter().filter(|effect| {
                matches!(
                    effect,
                    Effect::Drain(RunId(1), _) | Effect::Ask(RunId(1)) | Effect::Kill(RunId(1))
                )
            });
            let expected = match (cause, second) {
                (_, Event::Cut) => asks.clone(),
                (Cause::Stopped, Event::Stop)
                | (Cause::Removed, Event::Remove)
                | (Cause::Restarted, Event::Restart) => asks.clone(),
                (_, Event::Stop) => turns(Cause::Stopped),
                (Cause::Replaced, Event::Remove) => turns(Cause::Removed),
                (Cause::Replaced | Cause::Removed, Event::Restart | Event::Renew) => {
                    turns(Cause::Restarted)
                }
                _ => Vec::new(),
            };
            assert_eq!(its.collect::<Vec<_>>(), expected, "{name}, then {second:?}");
        }
    }
}

/// What is heard late, or again, of one that was asked already changes nothing.
#[test]
fn a_process_is_asked_once() {
    let rules = draining();
    let mut lifecycle = listening(&rules);
    lifecycle.step(Event::Stop, &rules, ms(100));
    let drained = Event::Drained { run: RunId(1) };
    assert_eq!(
        lifecycle.step(drained, &rules, ms(110)),
        [Effect::Ask(RunId(1))]
    );
    for event in [drained, Event::Cut, Event::Time] {
        assert_eq!(lifecycle.step(event, &rules, ms(120)), []);
    }
    assert_eq!(
        lifecycle.step(Event::Time, &rules, ms(1710)),
        [Effect::Kill(RunId(1))]
    );
}

/// After a reload an old process may serve a WebSocket for long. If its successor ends meanwhile, the
/// next one does not wait for that.
#[test]
fn a_restart_beside_one_that_was_replaced_waits_for_nobody() {
    let mut rules = draining();
    rules.restart.pause = Pause::Fixed(ms(50));
    let mut lifecycle = listening(&rules);
    lifecycle.step(Event::Reload, &rules, ms(100));
    lifecycle.step(up(2), &rules, ms(200));
    lifecycle.step(exited(2, 1), &rules, ms(300));
    assert_eq!(lifecycle.next_time(&rules), Some(ms(350)));
    assert_eq!(
        lifecycle.step(Event::Time, &rules, ms(350)),
        [Effect::Spawn(RunId(3))]
    );
    // A restart that somebody waits for has all gone first.
    let effects = lifecycle.step(Event::Restart, &rules, ms(400));
    assert!(
        effects.contains(&Effect::Drain(RunId(1), Cause::Restarted)),
        "{effects:?}"
    );
    assert!(!effects.contains(&Effect::Spawn(RunId(4))));
}
