//! The sentence of each kind of event, in a file: a change of wording shows in review.

use std::fmt::Write;
use std::fs;

use telemetry::events::{Event, Next, Trigger};
use telemetry::figures::Foreign;

use super::sentences::tests::sentences;
use telemetry::ids::Instance;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/sentences.txt");

/// How many kinds of events [`kind`] tells apart.
const KINDS: usize = 52;

/// Tells apart what has a sentence of its own. A new event has no number until it has one here, and
/// then wants an example in [`examples`].
fn kind(event: &Event) -> usize {
    match event {
        Event::Started { .. } => 0,
        Event::StartFailed { .. } => 1,
        Event::Listening { .. } => 2,
        Event::Left { .. } => 3,
        Event::Exited { .. } => 4,
        Event::NotPreloaded { .. } => 5,
        Event::Unfit { .. } => 6,
        Event::Silent { .. } => 7,
        Event::InUse { .. } => 8,
        Event::DatagramsShared { .. } => 9,
        Event::DatagramsNotShared { .. } => 10,
        Event::PrivilegedPort { .. } => 11,
        Event::Stranger { .. } => 12,
        Event::TooMuch { .. } => 13,
        Event::Blind { .. } => 14,
        Event::Uncounted => 15,
        Event::OutOfDescriptors { .. } => 16,
        Event::FewDescriptors { .. } => 17,
        Event::Crowded { .. } => 18,
        Event::TurnedAway { .. } => 19,
        Event::Refused { .. } => 20,
        Event::Hurrying => 21,
        Event::Renewing { .. } => 22,
        Event::NoTrigger { .. } => 23,
        Event::LogFailing { .. } => 24,
        Event::LogLost { .. } => 25,
        Event::LogOverrun { .. } => 26,
        Event::LogNotRotated { .. } => 27,
        Event::PidFileFailing { .. } => 28,
        Event::Rejection { .. } => 29,
        Event::Deaf { .. } => 30,
        Event::NotKept { .. } => 31,
        Event::Figures { .. } => 32,
        Event::Certificate { .. } => 33,
        Event::RequestFailed { .. } => 34,
        Event::RequestsFailed { .. } => 35,
        Event::Stopping { .. } => 36,
        Event::Stopped { .. } => 37,
        Event::MetricsFailing { .. } => 38,
        Event::Foreign { .. } => 39,
        Event::Draining { .. } => 40,
        Event::NotReady { .. } => 41,
        Event::Blocked { .. } => 42,
        Event::Unblocked { .. } => 43,
        Event::StillRuns { .. } => 44,
        Event::HealthFailed { .. } => 45,
        Event::HealthPassed { .. } => 46,
        Event::PassedElsewhere { .. } => 47,
        Event::Done { .. } => 48,
        Event::TookOver { .. } => 49,
        Event::Updated { .. } => 50,
        Event::NotUpdated { .. } => 51,
    }
}

fn exited(code: Option<i32>, signal: Option<i32>, limit: Option<u64>, next: Next) -> Event {
    Event::Exited {
        instance: Instance(1),
        pid: 100,
        code,
        signal,
        out_of_memory: limit,
        uptime: 1500,
        next,
    }
}

fn exits() -> Vec<Event> {
    let again = |delay| Next::Restart {
        delay,
        attempt: 2,
        max: 16,
    };
    vec![
        exited(Some(1), None, None, again(0)),
        exited(Some(1), None, None, again(1500)),
        exited(None, Some(9), None, again(100)),
        exited(None, Some(9), Some(400 << 20), again(100)),
        exited(Some(1), None, None, Next::Errored { attempts: 0 }),
        exited(Some(1), None, None, Next::Errored { attempts: 15 }),
        exited(Some(1), None, None, Next::Replaced),
        exited(Some(1), None, None, Next::Kept),
        exited(Some(0), None, None, Next::Ended),
        exited(Some(0), None, None, Next::Stopped),
    ]
}

fn listening(members: usize) -> Event {
    Event::Listening {
        instance: Instance(0),
        pid: 100,
        address: "0.0.0.0:3000".into(),
        members,
    }
}

fn done(command: &str, instances: usize, faults: &[&str]) -> Event {
    Event::Done {
        command: command.into(),
        instances,
        lasted: 1234,
        faults: faults.iter().map(|it| (*it).to_owned()).collect(),
    }
}

fn in_use(by: Option<&str>, of_app: Option<&str>) -> Event {
    Event::InUse {
        instance: Instance(1),
        address: "0.0.0.0:3000".into(),
        by: by.map(str::to_owned),
        of_app: of_app.map(str::to_owned),
    }
}

fn failed(instance: Option<Instance>, cut: bool, unsaid: u64) -> Event {
    Event::RequestFailed {
        address: "0.0.0.0:3000".into(),
        id: "5f".into(),
        instance,
        status: 502,
        reason: "the worker closed its connection before it had answered".into(),
        cut,
        unsaid,
    }
}

fn triggers() -> Vec<Event> {
    let change = |others| Trigger::Change {
        path: "src/a.ts".into(),
        others,
    };
    let memory = Trigger::Memory {
        instance: Instance(1),
        used: 300 << 20,
        limit: 200 << 20,
    };
    let hang = Trigger::Hang {
        instance: Instance(1),
        lasts: 30_050,
    };
    let health = |failures| Trigger::Health {
        instance: Instance(1),
        failures,
        reason: "it answers 500 to GET /healthz".into(),
    };
    let mut all = vec![Trigger::Schedule, change(0), change(3), memory, hang];
    all.extend([health(1), health(3)]);
    let renewing = |trigger| Event::Renewing { trigger };
    let still_runs = [false, true].map(|waits| Event::StillRuns {
        instance: Instance(1),
        waits,
    });
    all.into_iter().map(renewing).chain(still_runs).collect()
}

fn log_events() -> Vec<Event> {
    let path = || "/var/log/api.log".to_owned();
    let reason = || "No space left on device (os error 28)".to_owned();
    vec![
        Event::LogFailing {
            path: path(),
            reason: reason(),
        },
        Event::LogLost {
            path: path(),
            lines: 12,
            bytes: 3400,
        },
        Event::LogOverrun {
            path: path(),
            lines: 12,
        },
        Event::LogNotRotated {
            path: path(),
            reason: reason(),
        },
        Event::PidFileFailing {
            path: "/run/api.pid".into(),
            reason: reason(),
        },
        Event::NotKept { reason: reason() },
    ]
}

fn socket_events() -> Vec<Event> {
    let address = || "0.0.0.0:3000".to_owned();
    let udp = || "udp 0.0.0.0:3000".to_owned();
    vec![
        in_use(None, None),
        in_use(Some("nginx (pid 80)"), None),
        in_use(Some("node (pid 81)"), Some("shop")),
        Event::DatagramsShared {
            instance: Instance(1),
            address: udp(),
        },
        Event::DatagramsNotShared {
            instance: Instance(1),
            address: udp(),
        },
        Event::PrivilegedPort {
            instance: Instance(1),
            address: "0.0.0.0:80".into(),
            port: 80,
        },
        Event::Left {
            instance: Instance(1),
            pid: 100,
            address: address(),
            members: 2,
            cut: Vec::new(),
        },
        Event::Refused {
            address: address(),
            total: 7,
        },
        Event::Foreign {
            address: address(),
            what: Foreign::Tls,
        },
        Event::Figures {
            listeners: Vec::new(),
        },
    ]
}

fn examples() -> Vec<Event> {
    let reason = || "permission denied".to_owned();
    let mut all = vec![
        Event::Started {
            instance: Instance(1),
            pid: 100,
        },
        Event::StartFailed {
            instance: Instance(1),
            reason: reason(),
        },
        listening(1),
        listening(2),
        listening(3),
        Event::NotPreloaded {
            instance: Instance(1),
            pid: 100,
            reason: "app is linked statically".into(),
        },
        Event::Unfit {
            instance: Instance(1),
            wanted: "per: request".into(),
            reason: "app is linked statically".into(),
        },
        Event::Silent {
            instance: Instance(1),
            pid: 100,
        },
        Event::Stranger { pid: 100, uid: 33 },
        Event::TooMuch { pid: 100 },
        Event::Blind { pid: 100 },
        Event::Uncounted,
        Event::OutOfDescriptors {
            limit: 1024,
            reason: None,
        },
        Event::OutOfDescriptors {
            limit: 1024,
            reason: Some("Cannot allocate memory (os error 12)".to_owned()),
        },
        Event::FewDescriptors {
            limit: 64,
            needed: 160,
            instances: 4,
        },
        Event::Crowded { limit: 900 },
        Event::TurnedAway {
            address: [192, 0, 2, 1].into(),
            limit: 900,
        },
        Event::Hurrying,
        Event::MetricsFailing {
            address: "127.0.0.1:9616".into(),
            reason: "Address already in use (os error 98)".into(),
        },
        done("reload", 4, &[]),
        done("restart", 1, &[]),
        done("scale", 4, &[]),
        done("reload", 1, &["server-0 has failed", "server-1 too"]),
        Event::NoTrigger {
            trigger: "watch".into(),
            reason: reason(),
        },
        Event::Rejection {
            instance: Instance(1),
        },
        Event::Deaf {
            instance: Instance(1),
            reason: reason(),
        },
        Event::Certificate {
            reason: "cert.pem: it holds no certificate".into(),
        },
        failed(Some(Instance(1)), false, 0),
        failed(None, true, 3),
        Event::RequestsFailed { count: 1 },
        Event::RequestsFailed { count: 20 },
        draining(true),
        draining(false),
        Event::NotReady {
            signal: "SIGTERM".into(),
            delay: 10_000,
        },
        Event::Stopping {
            reason: "received SIGTERM".into(),
        },
        Event::Stopped { code: 0 },
        Event::Stopped { code: 1 },
    ];
    all.extend(blocked());
    all.extend(health());
    all.extend(exits());
    all.extend(triggers());
    all.extend(log_events());
    all.extend(socket_events());
    all.push(passed_elsewhere());
    all.extend([1, 4].map(|processes| Event::TookOver { processes }));
    all.extend(["1.2.3", "1.2.4"].map(|to| Event::Updated {
        from: "1.2.3".to_owned(),
        to: to.to_owned(),
    }));
    all.push(Event::NotUpdated {
        reason: "executing /usr/bin/maitred: No such file or directory (os error 2)".to_owned(),
    });
    all.sort_by_key(kind);
    all
}

fn blocked() -> [Event; 3] {
    let unblocked = |lasted| Event::Unblocked {
        instance: Instance(1),
        pid: 7,
        lasted,
    };
    let blocked = Event::Blocked {
        instance: Instance(1),
        pid: 7,
        lasts: 1000,
    };
    [blocked, unblocked(1500), unblocked(12_000)]
}

fn health() -> [Event; 2] {
    let failed = Event::HealthFailed {
        instance: Instance(1),
        pid: 7,
        reason: "its check exits with code 1: \u{1b}[2Jno database".into(),
    };
    let passed = Event::HealthPassed {
        instance: Instance(1),
        pid: 7,
    };
    [failed, passed]
}

fn passed_elsewhere() -> Event {
    Event::PassedElsewhere {
        instance: Instance(1),
        address: "[::]:3000".into(),
        passed: "0.0.0.0:3000".into(),
    }
}

fn draining(opaque: bool) -> Event {
    Event::Draining {
        instance: Instance(1),
        pid: 7,
        most: 28_990,
        opaque,
    }
}

#[test]
fn all_sentences_are_as_the_snapshot_has_them() {
    let examples = examples();
    let mut kinds: Vec<_> = examples.iter().map(kind).collect();
    kinds.dedup();
    assert_eq!(kinds, (0..KINDS).collect::<Vec<_>>(), "each has an example");
    let mut text = String::new();
    for event in examples {
        let written = serde_json::to_value(&event).unwrap();
        let name = written["event"].as_str().unwrap();
        // Each stands alone: what is said once in a while is said here each time.
        let said = sentences().of(&event);
        let said = said.as_deref().unwrap_or("(nothing)\n");
        let _ = write!(text, "{name}\n{said}\n");
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(FILE, &text).unwrap();
    }
    let kept = fs::read_to_string(FILE).unwrap_or_default();
    let differs = text
        .lines()
        .zip(kept.lines())
        .find(|(now, then)| now != then);
    assert!(
        text == kept,
        "{FILE} is out of date, first at {differs:?}: UPDATE_SNAPSHOTS=1 cargo test -p supervisor snapshot"
    );
}

/// Who follows all that happens hears of each, in words that are no riddle.
#[test]
fn every_event_can_be_said_in_words() {
    for event in examples() {
        let words = sentences().in_words(&event);
        let words = words.unwrap_or_else(|| panic!("nothing is said of {event:?}"));
        assert!(!words.trim().is_empty() && !words.contains('{'), "{words}");
    }
}
