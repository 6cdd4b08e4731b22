//! Addresses: several of them, ones that cannot be had, ones that are not for listening, and names
//! of Unix sockets.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::client::{Place, visits};
use crate::harness::{Setup, beside_others, free_port, tool};
use crate::victims::{COMPILERS, Victim, python_setup, reports, setup};

#[test]
fn several_ports_in_one_process() {
    let _turn = beside_others();
    let ports = [free_port(), free_port(), free_port()];
    let words = ports.map(|port| port.to_string());
    let words = words.each_ref().map(String::as_str);
    for compiler in COMPILERS {
        let mut run = setup(compiler, "ports", &words).instances(2).start();
        for port in ports {
            run.listening_on(&format!(":{port}"), 2);
            visits(&Place::Port(port), 20);
        }
    }
}

/// One listener a thread, as some servers have them: all on one port, which they share on purpose.
#[test]
fn two_listeners_of_one_process_that_share_a_port() {
    let _turn = beside_others();
    let port = free_port();
    let run = setup("gcc", "ports", &["shared", &port.to_string()])
        .instances(2)
        .start();
    reports(&run, "both listening", 2);
    visits(&Place::Port(port), 40);
}

/// What the kernel says without maitred, word for word: to whom the port is taken, to whom it is
/// not allowed, and where there is no such address.
#[test]
fn an_address_that_cannot_be_had_is_refused_as_ever() {
    let _turn = beside_others();
    let taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, free_port())).unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    for compiler in COMPILERS {
        let setup = setup(compiler, "refusals", &[&taken])
            .instances(1)
            .flag("--no-autorestart");
        let mut command = Command::new(setup.folder().join("refusals"));
        command.arg(&taken).env("PORT", setup.port().to_string());
        let (_, natively) = Victim::start(&mut command).end();

        let mut run = setup.start();
        let (printed, _) = run.everything_printed();
        assert_eq!(String::from_utf8(printed).unwrap(), natively, "{compiler}");
        assert!(natively.lines().count() >= 13, "{natively}");
    }
}

/// A port that is bound only to call from.
#[test]
fn a_client_with_a_port_of_its_own() {
    let _turn = beside_others();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap().port().to_string();
    let own = free_port();
    let run = setup("gcc", "client", &[&own.to_string(), &at])
        .instances(1)
        .start();
    let (mut client, address) = server.accept().unwrap();
    assert_eq!(address.port(), own);
    client
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut text = [0; 4];
    client.read_exact(&mut text).unwrap();
    client.write_all(b"pong").unwrap();
    // Its close is seen at once: nobody else holds the socket.
    assert_eq!(client.read(&mut text).unwrap(), 0);
    assert_eq!(reports(&run, "the client", 1), ["all checks hold"]);
}

fn serves_on(place: &Place, setup: Setup) {
    let mut run = setup.instances(2).start();
    reports(&run, "both listening", 2);
    visits(place, 30);
    let exited = run.events().into_iter().find(|event| event.is("exited"));
    assert!(exited.is_none(), "{}", run.story());
    let listening = run
        .events()
        .iter()
        .filter(|event| event.is("listening") && event.text("address").starts_with("unix:"))
        .count();
    assert_eq!(listening, 2, "{}", run.story());
}

#[test]
fn a_unix_socket_at_a_path() {
    let _turn = beside_others();
    for compiler in COMPILERS {
        let setup = setup(compiler, "paths", &["path"]);
        let path = setup.folder().join("app.sock");
        serves_on(&Place::Path(path.clone()), setup.argument(path));
    }
}

#[test]
fn a_unix_socket_at_a_relative_path() {
    let _turn = beside_others();
    let setup = setup("gcc", "paths", &["path", "app.sock"]);
    let folder = setup.folder().to_owned();
    let place = Place::Path(folder.join("app.sock"));
    serves_on(&place, setup.option("--cwd", folder));
}

/// A daemon leaves its folder between bind and listen.
#[test]
fn a_unix_socket_at_a_relative_path_that_was_left() {
    let _turn = beside_others();
    let setup = setup("gcc", "paths", &["moved", "app.sock"]);
    let folder = setup.folder().to_owned();
    let place = Place::Path(folder.join("app.sock"));
    serves_on(&place, setup.option("--cwd", folder));
}

/// Each worker removes the path before it binds, as servers do with what their predecessors left.
fn is_not_taken_for_a_leftover(what: &str, workers: usize) {
    let _turn = beside_others();
    let setup = python_setup("leftover.py").instances(2);
    let folder = setup.folder().to_owned();
    for fifo in ["first", "second"] {
        let made = Command::new(tool("mkfifo")).arg(folder.join(fifo)).status();
        assert!(made.unwrap().success());
    }
    let run = setup
        .argument(&folder)
        .argument(what)
        .option("--restart-delay", "600000")
        .start();
    reports(&run, "workers that listen", workers);
    visits(&Place::Path(folder.join("app.sock")), 20);
}

#[test]
fn a_unix_socket_whose_path_another_worker_removes() {
    is_not_taken_for_a_leftover("lives", 2);
}

#[test]
fn a_unix_socket_whose_first_worker_dies_before_it_listens() {
    is_not_taken_for_a_leftover("dies", 1);
}

#[test]
fn a_unix_socket_without_a_path() {
    let _turn = beside_others();
    for compiler in COMPILERS {
        let name = format!("maitred-test/{}/{compiler}", std::process::id());
        let setup = setup(compiler, "paths", &["abstract", &name]);
        serves_on(&Place::Abstract(name), setup);
    }
}

/// A client with a name is known by it, however long that is.
#[test]
fn a_client_of_a_unix_socket_with_a_long_name() {
    let _turn = beside_others();
    let setup = setup("gcc", "paths", &["path"]);
    let path = setup.folder().join("app.sock");
    let run = setup.argument(&path).instances(1).start();
    reports(&run, "a worker that listens", 1);
    for length in [1, 20, 60, 107] {
        let mut name = format!("{}/{length}/", std::process::id());
        name.truncate(length);
        name += &"x".repeat(length - name.len());
        let client = rustix::net::socket_with(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let own = rustix::net::SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        rustix::net::bind(&client, &own).unwrap();
        sys::connect_unix(std::os::fd::AsFd::as_fd(&client), &path).unwrap();
        let mut client = UnixStream::from(client);
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut seen = String::new();
        client.read_to_string(&mut seen).unwrap();
        assert_eq!(seen.trim_end(), name, "{}", run.story());
    }
}
