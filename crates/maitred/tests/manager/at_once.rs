//! Commands that meet: at the same time, or while an app is still about what an earlier one asked.

use std::collections::BTreeSet;
use std::fs;

use crate::harness::beside_others;
use crate::home::{Ended, Home};

/// System errors that commands cause in each other are no messages for users.
fn is_no_leak(said: &str) {
    for reason in [
        "No such file",
        "not empty",
        "Connection refused",
        "reset by peer",
        "Broken pipe",
        "Bad file descriptor",
        "No such process",
        "app.json",
    ] {
        assert!(!said.contains(reason), "{said}");
    }
}

#[test]
fn of_two_that_start_the_same_one_wins() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let codes: Vec<_> = std::thread::scope(|scope| {
        let start = || home.run(&["start", "job.sh"]).code;
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(
        codes.iter().filter(|code| **code == 0).count(),
        1,
        "{codes:?}"
    );
    assert_eq!(home.statuses(), [(0, "online".to_owned())]);
}

#[test]
fn those_that_start_at_the_same_time_get_numbers_of_their_own() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let home = &home;
            scope.spawn(move || home.does(&["start", "job.sh", "-n", name, "-i", "2"]));
        }
    });
    let ids: BTreeSet<_> = home.statuses().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, (0..8).collect());
}

#[test]
fn commands_at_the_same_time_come_to_an_end() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "2"]);
    std::thread::scope(|scope| {
        for command in ["restart", "reload", "stop", "start", "restart", "stop"] {
            let home = &home;
            scope.spawn(move || home.run(&[command, "job"]));
        }
    });
    home.does(&["start", "job"]);
    let online = [0, 1].map(|id| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online);
}

/// Asked to end, it takes its time.
const SLOW: &str = "trap 'exec sleep 0.7' INT; echo up; sleep 1000 & wait\n";

/// A command that waits for a slow app, and in the meantime another one.
fn meet(home: &Home, first: &[&str], second: &[&str]) -> (Ended, Ended) {
    std::thread::scope(|scope| {
        let first = scope.spawn(|| home.run(first));
        while home
            .statuses()
            .iter()
            .any(|(_, status)| status != "stopping")
        {}
        let second = home.run(second);
        (first.join().unwrap(), second)
    })
}

/// Whichever comes second: both have an answer that is true, and speaks of nothing inside.
#[test]
fn a_command_that_meets_another_one_waits_or_says_so() {
    let _turn = beside_others();
    for (first, second, codes, status) in [
        (
            &["delete", "job"][..],
            &["start", "job.sh"][..],
            (0, 0),
            Some("online"),
        ),
        (&["delete", "job"], &["delete", "job"], (0, 0), None),
        (&["delete", "job"], &["stop", "job"], (0, 1), None),
        (&["delete", "job"], &["start", "job"], (0, 1), None),
        (&["delete", "job"], &["kill"], (0, 0), None),
        (&["kill"], &["start", "job.sh"], (0, 0), Some("online")),
        (&["kill"], &["delete", "job"], (0, 0), None),
        (&["stop", "job"], &["delete", "job"], (0, 0), None),
        (&["stop", "job"], &["stop", "job"], (0, 0), Some("stopped")),
        (&["stop", "job"], &["start", "job"], (1, 0), Some("online")),
        (
            &["stop", "job"],
            &["start", "job.sh"],
            (1, 0),
            Some("online"),
        ),
        (
            &["stop", "job"],
            &["restart", "job"],
            (1, 0),
            Some("online"),
        ),
        (
            &["restart", "job"],
            &["restart", "job"],
            (0, 0),
            Some("online"),
        ),
        (
            &["restart", "job"],
            &["stop", "job"],
            (1, 0),
            Some("stopped"),
        ),
        (&["restart", "job"], &["kill"], (1, 0), None),
    ] {
        let home = Home::new();
        home.file("job.sh", SLOW);
        home.does(&["start", "job.sh", "-k", "30000"]);
        home.is_up("job", 1);
        let (one, other) = meet(&home, first, second);
        assert_eq!((one.code, other.code), codes, "{one:?} {other:?}");
        let statuses: Vec<_> = home.statuses().into_iter().map(|(_, it)| it).collect();
        assert_eq!(
            statuses,
            status.into_iter().collect::<Vec<_>>(),
            "{first:?} {second:?}"
        );
        for said in [one.errors, other.errors] {
            is_no_leak(&said);
        }
    }
}

/// Scaling up while instances that were scaled away are still ending counts those that stay.
#[test]
fn scaling_up_while_others_go() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", SLOW);
    home.does(&["start", "job.sh", "-i", "2", "-k", "30000", "--name", "job"]);
    home.is_up("job", 2);
    std::thread::scope(|scope| {
        let down = scope.spawn(|| home.does(&["scale", "job", "1"]));
        while home
            .statuses()
            .get(1)
            .is_some_and(|(_, status)| status != "stopping")
        {}
        home.does(&["scale", "job", "2"]);
        down.join().unwrap();
    });
    let statuses = home.statuses();
    assert_eq!(statuses.len(), 2);
    assert!(
        statuses.iter().all(|(_, status)| status == "online"),
        "{statuses:?}"
    );
}

/// One after the other in the shortest time, by two at once: no answer is an inside one, and in the
/// end there is what the last command says.
#[test]
fn starts_and_deletes_in_any_order_leave_no_litter() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    std::thread::scope(|scope| {
        for command in [&["start", "job.sh"][..], &["delete", "job"]] {
            let home = &home;
            scope.spawn(move || {
                for _ in 0..15 {
                    let said = home.run(command);
                    is_no_leak(&said.errors);
                }
            });
        }
    });
    home.run(&["delete", "job"]);
    assert_eq!(home.statuses(), []);
    assert_eq!(fs::read_dir(home.path().join("apps")).unwrap().count(), 0);
    home.does(&["start", "job.sh"]);
}
