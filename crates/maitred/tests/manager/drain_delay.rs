//! SIGTERM with `drain_delay`: first the app is not ready, then its port closes.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Door, PATIENCE, Process, Request, beside_others, free_port, gone_within};
use crate::home::{Home, NODE_SERVER};
use crate::metrics::{ask, opens};
use crate::wait::until_it_is;

/// An app that is ready, its supervisor, and the port of its probes.
fn ready(delay: &str) -> (Home, Process, u16) {
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let probes = free_port();
    let metrics = probes.to_string();
    let flags = ["-i", "2", "--metrics", &metrics, "--drain-delay", delay];
    home.does(&[&["start", "server.js", "--name", "app"], &flags[..]].concat());
    opens(probes);
    assert_eq!(ask(probes, "GET", "/readyz", "*/*").0, 200);
    let supervisor = Process::find(home.supervisor("app")).unwrap();
    (home, supervisor, probes)
}

fn send(home: &Home, signal: Signal) {
    let supervisor = Pid::from_raw(home.supervisor("app")).unwrap();
    kill_process(supervisor, signal).unwrap();
}

/// What the app's log holds, maitred's lines among it.
fn lines(home: &Home) -> String {
    home.does(&["logs", "app", "--nostream", "--lines", "1000"])
}

fn is_not_ready(probes: u16) {
    until_it_is("it is not ready", || {
        ask(probes, "GET", "/readyz", "*/*").0 == 503
    });
    assert_eq!(ask(probes, "GET", "/livez", "*/*").0, 200);
}

fn is_served(door: &Door) {
    for _ in 0..20 {
        assert_eq!(Request::get(door, "/").unwrap().status, 200);
    }
}

#[test]
fn newcomers_are_served_while_the_app_is_not_ready() {
    let _turn = beside_others();
    // What ends the waiting.
    for command in [None, Some("stop"), Some("delete"), Some("kill")] {
        let (home, supervisor, probes) = ready("1h");
        // As the systemd units do it, or as containers do.
        let mut waits = None;
        match command {
            None => {
                waits = Some(
                    home.command(&["kill", "--delay"])
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap(),
                )
            }
            Some(_) => send(&home, Signal::TERM),
        }
        is_not_ready(probes);
        is_served(&home.door());
        // Workers that end are brought back: it is an app as ever.
        let worker = Process::find(home.pids()[0]).unwrap();
        kill_process(Pid::from_raw(worker.pid).unwrap(), Signal::KILL).unwrap();
        home.is_up("app", 3);
        is_served(&home.door());
        match command {
            None => {
                // One that follows the first one at once is the same: a terminal sends it to all, and the
                // guard passes it on.
                until_it_is("the supervisor has ended", || {
                    let pid = Pid::from_raw(supervisor.pid).unwrap();
                    let _ = kill_process(pid, Signal::INT);
                    !supervisor.is_alive()
                });
                assert!(waits.unwrap().wait().unwrap().success());
            }
            Some("kill") => drop(home.does(&["kill"])),
            Some(command) => drop(home.does(&[command, "app"])),
        }
        assert_eq!(gone_within(PATIENCE, &[supervisor]), [], "{command:?}");
        assert!(home.port_is_free(), "{command:?}");
    }
}

#[test]
fn an_app_ends_when_its_delay_is_over() {
    let _turn = beside_others();
    let (home, supervisor, _) = ready("300ms");
    send(&home, Signal::TERM);
    assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
    let log = lines(&home);
    let told = log.find(
        "SIGTERM: app serves new clients for another 0.3 s (drain_delay), and /readyz answers 503",
    );
    assert!(
        told.is_some() && told < log.find("SIGTERM: stopping app"),
        "{log}"
    );
    // It is not stopped, but to run again.
    home.does(&["restart", "app"]);
    is_served(&home.door());
    // Ctrl-C does not wait.
    let supervisor = Process::find(home.supervisor("app")).unwrap();
    send(&home, Signal::INT);
    assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
}
