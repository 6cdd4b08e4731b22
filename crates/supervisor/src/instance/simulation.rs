//! Thousands of lives of an instance, each from a seed: commands, crashes and time in any order.

use std::collections::BTreeMap;

use fastrand::Rng;
use telemetry::events::Exit;

use super::*;
use config::{Pause, Restart};

/// What the world knows of the processes.
#[derive(Default)]
struct World {
    /// Alive, and how far it has come on its way out.
    alive: BTreeMap<RunId, Option<End>>,
    /// Commands without an answer.
    open: usize,
    last: u64,
}

/// Since when it drains, and has been asked to end.
#[derive(Clone, Copy, PartialEq)]
struct End {
    drains: Duration,
    /// Something in its place may start.
    replaced: bool,
    asked: Option<Duration>,
}

impl World {
    fn act(&mut self, effects: &[Effect], rules: &Rules, now: Duration) {
        for effect in effects {
            match effect {
                Effect::Spawn(run) => {
                    assert_eq!(run.0, self.last + 1, "runs are counted up");
                    self.last = run.0;
                    let serving = self.alive.values().filter(|end| end.is_none()).count();
                    let most = usize::from(rules.overlap);
                    assert!(serving <= most, "{serving} serve when another starts");
                    if !rules.overlap {
                        assert!(self.alive.is_empty(), "one at a time");
                    }
                    let mut ends = self.alive.values().flatten();
                    assert!(ends.all(|end| end.replaced), "what is to be gone is gone");
                    self.alive.insert(*run, None);
                }
                Effect::Drain(run, cause) => {
                    let end = self.alive.get_mut(run).expect("it lives");
                    let replaced = *cause == Cause::Replaced;
                    let end = end.get_or_insert(End {
                        drains: now,
                        replaced,
                        asked: None,
                    });
                    assert_eq!(end.asked, None, "not when it was asked");
                    end.replaced = replaced;
                }
                Effect::Waits(run, ..) => {
                    let end = self.alive.get(run).copied().flatten();
                    assert_eq!(end.expect("it drains").asked, None);
                }
                Effect::Ask(run) => {
                    let end = self.alive.get_mut(run).expect("it lives");
                    let end = end.as_mut().expect("it drains before it is asked");
                    assert!(end.asked.replace(now).is_none(), "asked once");
                }
                Effect::Kill(run) => {
                    let end = self.alive.get(run).copied().flatten();
                    let since = end.and_then(|end| end.asked);
                    let since = since.expect("it was asked before it is killed");
                    assert!(now - since >= rules.kill_timeout, "it was given its time");
                }
                Effect::Tell { .. } => {}
                Effect::Settled(_) => {
                    self.open = self.open.checked_sub(1).expect("one answer a command");
                }
            }
        }
    }
}

fn live(seed: u64) {
    let mut random = Rng::with_seed(seed);
    let rules = Rules {
        restart: Restart {
            auto: random.u64(..4) != 0,
            autostart: true,
            max_unstable: u32::try_from(random.u64(..4)).unwrap(),
            min_uptime: Duration::from_millis(random.u64(..2000)),
            pause: match random.u64(..2) {
                0 => Pause::Earned(Duration::from_millis(random.u64(..300))),
                _ => Pause::Growing(Duration::from_millis(random.u64(..300))),
            },
            stop_exit_codes: [3].into(),
        },
        drains: random.bool(),
        drain_timeout: Duration::from_millis(random.u64(..2) * 3000),
        kill_timeout: Duration::from_millis(random.u64(..2000)),
        listen_timeout: Duration::from_millis(random.u64(..4000)),
        wait_ready: random.u64(..3) == 0,
        overlap: random.bool(),
    };
    let mut lifecycle = Lifecycle::new(Rest::Stopped, 0, 0);
    let mut world = World::default();
    let mut now = Duration::ZERO;
    for step in 0..200 {
        now += Duration::from_millis(random.u64(..700));
        let ended = step == 199;
        // Any process that ever was may be heard of, also one that is long gone.
        let run = RunId(random.u64(..world.last + 2));
        let event = match random.u64(..21) {
            _ if ended => Event::Stop,
            15 => Event::Remove,
            16 => Event::Renew,
            17 => Event::Drained { run },
            18 => Event::Cut,
            19 => Event::TryOut,
            20 => Event::Unwell { run },
            0 => Event::Start,
            1 => Event::Stop,
            2 => Event::Restart,
            3 => Event::Reload,
            4..7 => {
                let code = i32::try_from(random.u64(..5)).unwrap();
                world.alive.remove(&run);
                Event::Exited {
                    run,
                    status: Exit::Code(code),
                }
            }
            7..9 => Event::Up {
                run,
                listening: random.bool(),
            },
            9 => Event::Unfit { run },
            10 => Event::Hurry { by: now },
            12 => Event::Due,
            11 => Event::Listens {
                run,
                listening: random.bool(),
            },
            _ => Event::Time,
        };
        if matches!(
            event,
            Event::Start
                | Event::Stop
                | Event::Remove
                | Event::Restart
                | Event::Renew
                | Event::Reload
                | Event::TryOut
        ) {
            world.open += 1;
        }
        let effects = lifecycle.step(event, &rules, now);
        world.act(&effects, &rules, now);
        if let Some(at) = lifecycle.next_time(&rules)
            && random.bool()
        {
            now = now.max(at);
            let effects = lifecycle.step(Event::Time, &rules, now);
            world.act(&effects, &rules, now);
        }
        let current = lifecycle.current().map(|run| run.id);
        assert!(
            current.is_none_or(|run| world.alive.get(&run) == Some(&None)),
            "what serves lives, and was not asked to end"
        );
    }
    // After a stop everything ends, and the command is answered.
    while let Some((run, _)) = world.alive.pop_first() {
        let status = Exit::Signal(9);
        let effects = lifecycle.step(Event::Exited { run, status }, &rules, now);
        world.act(&effects, &rules, now);
    }
    assert!(lifecycle.is_at_rest());
    assert_eq!(world.open, 0, "every command has its answer");
    assert_eq!(lifecycle.next_time(&rules), None);
}

#[test]
fn no_order_of_events_breaks_it() {
    for seed in 0..5000 {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "seed {seed}");
    }
}
