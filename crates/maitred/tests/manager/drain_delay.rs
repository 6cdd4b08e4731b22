//! SIGTERM with `drain_delay`: first the app is not ready, then its port closes.

use std::path::Path;
use std::process::{Child, Command, Stdio};

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

fn send(supervisor: &Process, signal: Signal) {
    let _ = kill_process(Pid::from_raw(supervisor.pid).unwrap(), signal);
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
            Some(_) => send(&supervisor, Signal::TERM),
        }
        is_not_ready(probes);
        is_served(&home.door());
        // Workers that end are brought back: it is an app as ever.
        let worker = Process::find(home.pids()[0]).unwrap();
        send(&worker, Signal::KILL);
        home.is_up("app", 3);
        is_served(&home.door());
        match command {
            None => {
                // One that follows the first one at once is the same: a terminal sends it to all, and the
                // guard passes it on.
                until_it_is("the supervisor has ended", || {
                    send(&supervisor, Signal::INT);
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

/// HAProxy asks `/readyz` of two machines, and sends clients, who never try again, to those that are ready. It
/// stops sending clients to a machine that drains before that machine's port closes: nobody is refused.
#[test]
fn a_balancer_that_asks_sends_nobody_to_a_closed_port() {
    let _turn = beside_others();
    let [one, two] = [ready("1h"), ready("1h")];
    let servers: String = [&one, &two]
        .iter()
        .map(|(home, _, probes)| {
            format!("  server s{probes} 127.0.0.1:{} port {probes}\n", home.port)
        })
        .collect();
    let port = free_port();
    let config = one.0.file(
        "haproxy.cfg",
        &format!(
            "defaults\n  mode http\n  timeout connect 30s\n  timeout client 30s\n  timeout server 30s\n  \
             retries 0\n\
             listen web\n  bind 127.0.0.1:{port}\n  option httpchk GET /readyz\n  \
             default-server check inter 50ms fall 2 rise 1\n{servers}"
        ),
    );
    let mut balancer = Command::new(haproxy());
    balancer
        .arg("-db")
        .arg("-f")
        .arg(config)
        .stderr(Stdio::null());
    let _balancer = Balancer(balancer.spawn().unwrap());
    opens(port);
    let door = Door::Tcp(([127, 0, 0, 1], port).into());
    let serves = |home: &Home| {
        let answer = Request::get(&door, "/").unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        home.pids().contains(&answer.body.parse().unwrap())
    };
    until_it_is("both serve", || serves(&one.0) && serves(&two.0));
    send(&one.1, Signal::TERM);
    until_it_is("the other one serves alone", || {
        (0..20).all(|_| serves(&two.0))
    });
    until_it_is("the first one has ended", || {
        send(&one.1, Signal::INT);
        assert!((0..20).all(|_| serves(&two.0)));
        !one.1.is_alive()
    });
    assert!((0..20).all(|_| serves(&two.0)));
}

/// It ends with the test.
struct Balancer(Child);

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Debian keeps it where ordinary users do not look.
fn haproxy() -> &'static str {
    let places = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"];
    let found = places.into_iter().find(|path| Path::new(path).is_file());
    found.unwrap_or("haproxy")
}

#[test]
fn an_app_ends_when_its_delay_is_over() {
    let _turn = beside_others();
    let (home, supervisor, _) = ready("300ms");
    send(&supervisor, Signal::TERM);
    assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
    let log = lines(&home);
    let told = log.find(
        "SIGTERM: app serves new clients for another 300 ms (drain_delay), and /readyz answers 503",
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
    send(&supervisor, Signal::INT);
    assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
}
