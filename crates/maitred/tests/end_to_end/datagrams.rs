//! UDP ports, which the instances of an app share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PATIENCE, Setup, beside_others};
use crate::listeners::reports;

/// Asks from new sockets until all of these instances have answered.
fn datagrams_reach(port: u16, instances: &[&str]) {
    let mut seen = BTreeSet::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while seen.len() < instances.len() {
        assert!(std::time::Instant::now() < deadline, "only {seen:?} answer");
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.connect(("127.0.0.1", port)).unwrap();
        client.send(b"who").unwrap();
        let mut answer = [0; 16];
        let length = client.recv(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(instances.contains(&answer.as_str()), "{answer}");
        seen.insert(answer);
    }
}

/// Each datagram goes to one of the instances, whichever reads next. One that ends leaves the port
/// to the others, and its successor has a share again.
fn datagrams_are_shared(setup: Setup) {
    let _turn = beside_others();
    let mut run = setup.instances(2).start();
    assert_eq!(
        reports(&run, 2),
        BTreeMap::from([("0", "bound"), ("1", "bound")].map(|(a, b)| (a.to_owned(), b.to_owned())))
    );
    let address = format!("udp:127.0.0.1:{}", run.port);
    run.event("the sharing", |event| {
        event.is("datagrams_shared") && event.text("address") == address
    });
    datagrams_reach(run.port, &["0", "1"]);
    let before = run.events().last().unwrap().clone();
    // The first to bind: the port must not go with it.
    let first = run.started(0);
    kill_process(Pid::from_raw(first.pid).unwrap(), Signal::KILL).unwrap();
    run.event_after(&before, "its successor's share", |event| {
        event.is("datagrams_shared")
    });
    datagrams_reach(run.port, &["0", "1"]);
    assert!(
        !run.events().iter().any(|event| event.is("listening")),
        "{}",
        run.story()
    );
}

const PYTHON_DATAGRAMS: &str = r#"
import errno, os, pathlib, socket, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
name = os.environ["NODE_APP_INSTANCE"]
try:
    udp.bind(("127.0.0.1", int(os.environ["PORT"])))
except OSError as error:
    print(f"report {name}: {errno.errorcode[error.errno]}", flush=True)
    time.sleep(1e6)
print(f"report {name}: bound", flush=True)
pathlib.Path(__file__).with_name("bound").touch()
while True:
    data, sender = udp.recvfrom(100)
    # Who has just answered lets others read.
    udp.sendto(name.encode(), sender)
    time.sleep(0.01)
"#;

#[test]
fn datagrams_are_shared_in_python() {
    datagrams_are_shared(Setup::program("echo.py", PYTHON_DATAGRAMS));
}

const NODE_DATAGRAMS: &str = r#"
import { createSocket } from "node:dgram";
const name = process.env.NODE_APP_INSTANCE;
const socket = createSocket("udp4");
socket.on("message", (text, sender) => {
  socket.send(name, sender.port, sender.address);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
});
socket.bind(Number(process.env.PORT), "127.0.0.1", () => console.log(`report ${name}: bound`));
"#;

#[test]
fn datagrams_are_shared_in_node() {
    datagrams_are_shared(Setup::program("echo.mjs", NODE_DATAGRAMS));
}

#[test]
fn datagrams_are_shared_in_bun() {
    let setup = Setup::program("echo.mjs", NODE_DATAGRAMS);
    datagrams_are_shared(setup.option("--interpreter", "bun"));
}

/// A UDP port that is private is each instance's own, as without maitred; and so is one of a program
/// that is none of the app's.
#[test]
fn datagrams_of_a_private_port_or_of_others_are_not_shared() {
    let _turn = beside_others();
    let setup = Setup::program("echo.py", PYTHON_DATAGRAMS).instances(2);
    let port = setup.port();
    let run = setup.option("--private-port", port.to_string()).start();
    let seen = reports(&run, 2);
    let seen: BTreeSet<_> = seen.values().map(String::as_str).collect();
    assert_eq!(seen, BTreeSet::from(["EADDRINUSE", "bound"]));

    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let setup = Setup::program("echo.py", PYTHON_DATAGRAMS).instances(2);
    let mut run = setup.env("PORT", port.to_string()).start();
    let seen = reports(&run, 2);
    let seen: BTreeSet<_> = seen.values().map(String::as_str).collect();
    assert_eq!(seen, BTreeSet::from(["EADDRINUSE"]));
    let event = run.event("the port's owner", |event| event.is("in_use"));
    assert_eq!(event.text("address"), format!("udp:127.0.0.1:{port}"));
    let own = format!("(pid {})", std::process::id());
    assert!(event.text("by").ends_with(&own), "{}", run.story());
}

/// The first instance binds, then the second. Those whom `GIVES_UP` names have given up their rights
/// before, where they are root's.
const PYTHON_RIGHTS: &str = r#"
# All modules now: another user may not read them.
import errno, os, pathlib, socket, time
name, bound = os.environ["NODE_APP_INSTANCE"], pathlib.Path(__file__).with_name("bound")
while name == "1" and not bound.exists():
    time.sleep(0.01)
if os.getuid() == 0 and name in os.environ["GIVES_UP"]:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"#;
/// The kernel lets nobody take a socket out of another user's process, and root's maitred does not do it
/// for such a one either. (As an ordinary user, all instances are of that.)
#[test]
fn datagrams_of_another_user_are_not_shared() {
    let _turn = beside_others();
    let is_root = rustix::process::geteuid().is_root();
    for (gives_up, is_shared) in [("", true), ("01", true), ("0", true), ("1", !is_root)] {
        let text = format!("{PYTHON_RIGHTS}{PYTHON_DATAGRAMS}");
        let setup = Setup::program("echo.py", &text).instances(2);
        // Whoever has given up its rights tells the other one, too.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(setup.folder(), mode).unwrap();
        let mut run = setup.env("GIVES_UP", gives_up).start();
        let second = if is_shared { "bound" } else { "EADDRINUSE" };
        let seen = reports(&run, 2);
        assert_eq!(
            (seen["0"].as_str(), seen["1"].as_str()),
            ("bound", second),
            "{gives_up:?}"
        );
        let word = match is_shared {
            true => "datagrams_shared",
            false => "datagrams_not_shared",
        };
        run.event("what is said of it", |event| event.is(word));
    }
}

/// One process cannot bind an address twice.
#[test]
fn datagrams_bound_twice_are_an_error() {
    let _turn = beside_others();
    let text = r#"
import errno, os, socket, time
name = os.environ["NODE_APP_INSTANCE"]
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
sockets[0].bind(("127.0.0.1", int(os.environ["PORT"])))
try:
    sockets[1].bind(("127.0.0.1", int(os.environ["PORT"])))
    print(f"report {name}: bound", flush=True)
except OSError as error:
    print(f"report {name}: {errno.errorcode[error.errno]}", flush=True)
time.sleep(1e6)
"#;
    let run = Setup::program("twice.py", text).instances(1).start();
    assert_eq!(reports(&run, 1)["0"], "EADDRINUSE");
}
