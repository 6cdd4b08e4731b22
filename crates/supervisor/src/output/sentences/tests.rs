//! Sentences of which more than the words matters.

use std::time::Duration;

use telemetry::events::Next;

use super::*;

pub(in crate::output) fn sentences() -> Sentences {
    Sentences {
        name: "server".into(),
        instances: 3,
        quiet: false,
        colours: false,
        complete: BTreeSet::new(),
        in_use: BTreeSet::new(),
        foreign: BTreeSet::new(),
        not_preloaded: false,
        blind: false,
        rejection: false,
        not_started: BTreeSet::new(),
        blocked: BTreeSet::new(),
        queue_timeout: Duration::from_secs(30),
    }
}

#[test]
fn an_exit_says_what_and_why_and_what_next() {
    let exited = |signal: Option<i32>, next| Event::Exited {
        instance: Instance(2),
        pid: 1,
        code: signal.is_none().then_some(1),
        signal,
        out_of_memory: None,
        uptime: 300,
        next,
    };
    let restart = Next::Restart {
        delay: 1500,
        attempt: 3,
        max: 16,
    };
    assert_eq!(
        sentences().of(&exited(None, restart)).unwrap(),
        "maitred: server-2 exited with code 1 after 0.3 s; restarting in 1.5 s (attempt 3 of \
         16)\n"
    );
    let killed = sentences().of(&exited(Some(9), Next::Ended)).unwrap();
    assert_eq!(
        killed,
        "maitred: server-2 was killed by SIGKILL after 0.3 s\n"
    );
    let once = sentences().of(&exited(None, Next::Errored { attempts: 0 }));
    assert!(
        once.unwrap()
            .ends_with("; max_restarts is 0, so it is not restarted\n")
    );
    let often = sentences().of(&exited(None, Next::Errored { attempts: 3 }));
    assert!(
        often
            .unwrap()
            .contains("4 runs in a row ended within min_uptime")
    );
    assert_eq!(sentences().of(&exited(None, Next::Stopped)), None);
    let mut failing = sentences();
    let _ = failing.of(&Event::StartFailed {
        instance: Instance(2),
        reason: "permission denied".into(),
    });
    assert_eq!(
        failing.of(&exited(None, Next::Kept)).unwrap(),
        "maitred: server-2: keeping the previous one\n",
        "what was not started has not exited"
    );
    let mut at_bound = exited(Some(9), Next::Ended);
    if let Event::Exited { out_of_memory, .. } = &mut at_bound {
        *out_of_memory = Some(400 * MB);
    }
    assert_eq!(
        sentences().of(&at_bound).unwrap(),
        "maitred: server-2 was OOM-killed at its cgroup limit of 400 MB (max_memory_restart) \
         after 0.3 s\n"
    );
}

#[test]
fn listening_is_told_at_the_first_and_the_last() {
    let mut sentences = sentences();
    let told: Vec<_> = (1..=4)
        .filter_map(|members| {
            sentences.of(&Event::Listening {
                instance: Instance(0),
                pid: 1,
                address: "0.0.0.0:5555".into(),
                members,
            })
        })
        .collect();
    assert_eq!(told.len(), 2, "a fourth is a successor");
    assert!(told[1].contains("3 workers of server share http://localhost:5555"));
}

#[test]
fn who_has_an_address_is_told_once_until_it_is_free() {
    let mut sentences = sentences();
    let mut told = |instance, by: &str| {
        let event = Event::InUse {
            instance,
            address: "0.0.0.0:80".into(),
            by: Some(by.into()),
            of_app: None,
        };
        sentences.of(&event).is_some()
    };
    assert!(told(Instance(0), "nginx"));
    assert!(!told(Instance(1), "nginx"));
    assert!(told(Instance(1), "caddy"));
    sentences.of(&Event::Listening {
        instance: Instance(0),
        pid: 1,
        address: "0.0.0.0:80".into(),
        members: 1,
    });
    let again = Event::InUse {
        instance: Instance(0),
        address: "0.0.0.0:80".into(),
        by: Some("nginx".into()),
        of_app: None,
    };
    assert!(sentences.of(&again).is_some());
}
