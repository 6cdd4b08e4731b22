//! Everything an app may listen on: several ports, Unix sockets, both families, port 0, ports kept
//! private, and ports that need privileges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::process::{Signal, kill_process};

use crate::harness::{
    Door, Request, Run, Setup, beside_others, free_port, rounds_of_simultaneous_requests,
};

const ROUNDS: usize = 4;

/// What the Node programs here share: a handler that answers as the examples do.
const NODE: &str = r#"
import { createServer } from "node:http";
const { work } = await import(process.env.EXAMPLES + "/work.mjs");
const handler = (request, response) => {
  response.end(JSON.stringify(work(new URL(request.url, "http://localhost").searchParams)));
};
"#;

/// The same for Bun.
const BUN: &str = r#"
const { work } = await import(process.env.EXAMPLES + "/work.mjs");
const fetch = (request: Request) => Response.json(work(new URL(request.url).searchParams));
"#;

pub(crate) fn node(text: &str) -> Setup {
    Setup::program("app.mjs", &format!("{NODE}{text}")).flag("--stats=1")
}

fn bun(text: &str) -> Setup {
    Setup::program("app.ts", &format!("{BUN}{text}")).flag("--stats=1")
}

fn four(port: u16) -> Door {
    Door::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn six(port: u16) -> Door {
    Door::Tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, port)))
}

fn exact(run: &mut Run, door: &Door, workers: usize) {
    rounds_of_simultaneous_requests(run, door, workers, ROUNDS);
}

fn several_listeners(setup: Setup) {
    let _turn = beside_others();
    let (other, path) = (free_port(), setup.folder().join("app.sock"));
    let setup = setup
        .env("OTHER_PORT", other.to_string())
        .env("SOCKET", &path);
    let mut run = setup.instances(3).start();
    run.listening(3);
    run.listening_on(&format!(":{other}"), 3);
    run.listening_on(&format!("unix:{}", path.display()), 3);
    exact_at_its_port(&mut run, 3);
    exact(&mut run, &four(other), 3);
    exact(&mut run, &Door::Unix(path), 3);
}

fn exact_at_its_port(run: &mut Run, workers: usize) {
    let door = run.door();
    exact(run, &door, workers);
}

#[test]
fn several_listeners_in_node() {
    several_listeners(node(
        "createServer(handler).listen(process.env.PORT);
        createServer(handler).listen(process.env.OTHER_PORT);
        createServer(handler).listen(process.env.SOCKET);",
    ));
}

#[test]
fn several_listeners_in_bun() {
    several_listeners(bun("Bun.serve({ port: process.env.PORT, fetch });
        Bun.serve({ port: process.env.OTHER_PORT, fetch });
        Bun.serve({ unix: process.env.SOCKET, fetch });"));
}

#[test]
fn one_address_of_ipv4() {
    let _turn = beside_others();
    let mut run = node("createServer(handler).listen(process.env.PORT, '127.0.0.1');")
        .instances(2)
        .start();
    let address = format!("127.0.0.1:{}", run.port);
    assert_eq!(run.listening(2).text("address"), address);
    exact_at_its_port(&mut run, 2);
    assert!(
        Request::connect(&six(run.port)).is_err(),
        "nobody listens on ::1"
    );
}

#[test]
fn one_address_of_ipv6() {
    let _turn = beside_others();
    let mut run = node("createServer(handler).listen(process.env.PORT, '::1');")
        .instances(2)
        .start();
    let address = format!("[::1]:{}", run.port);
    assert_eq!(run.listening(2).text("address"), address);
    let door = six(run.port);
    exact(&mut run, &door, 2);
    assert!(
        Request::connect(&run.door()).is_err(),
        "nobody listens on 127.0.0.1"
    );
}

#[test]
fn both_families_on_one_socket() {
    let _turn = beside_others();
    let mut run = node("createServer(handler).listen(process.env.PORT, '::');")
        .instances(2)
        .start();
    let address = format!("[::]:{}", run.port);
    assert_eq!(run.listening(2).text("address"), address);
    exact_at_its_port(&mut run, 2);
    let door = six(run.port);
    exact(&mut run, &door, 2);
}

#[test]
fn both_families_on_a_socket_each() {
    let _turn = beside_others();
    let text =
        "createServer(handler).listen({ port: process.env.PORT, host: '::', ipv6Only: true });
        createServer(handler).listen(process.env.PORT, '0.0.0.0');";
    let mut run = node(text).instances(2).start();
    let port = run.port;
    run.listening_on(&format!("[::]:{port}"), 2);
    run.listening_on(&format!("0.0.0.0:{port}"), 2);
    exact_at_its_port(&mut run, 2);
    exact(&mut run, &six(port), 2);
}

/// The address that a client comes from is its own.
#[test]
fn an_app_sees_its_clients_address() {
    let _turn = beside_others();
    let text = "createServer((request, response) => {
            const { remoteAddress, remotePort, localPort } = request.socket;
            response.end(`${remoteAddress} ${remotePort} ${localPort}`);
        }).listen(process.env.PORT, '127.0.0.1');";
    let mut run = node(text).instances(2).start();
    run.listening(2);
    for _ in 0..4 {
        let stream = std::net::TcpStream::connect(("127.0.0.1", run.port)).unwrap();
        let expected = format!(
            "127.0.0.1 {} {}",
            stream.local_addr().unwrap().port(),
            run.port
        );
        let seen = Request::over(stream, "/").unwrap();
        assert_eq!(seen.body, expected);
    }
}

/// What each worker reported, by instance or worker number: `name: value` in a line of output.
pub(crate) fn reports(run: &Run, count: usize) -> BTreeMap<String, String> {
    let text = run.output("all reports", |text| {
        text.matches("report ").count() == count
    });
    let reports = text
        .lines()
        .filter_map(|line| line.split_once("report "))
        .map(|(_, report)| {
            let (name, value) = report.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        });
    reports.collect()
}

/// A helper that listens wherever there is room must not get another instance's visitors.
#[test]
fn port_0_is_private_to_each_instance() {
    let _turn = beside_others();
    let text = "const server = createServer(handler).listen(0, () => {
            console.log(`report ${process.env.NODE_APP_INSTANCE}: ${server.address().port}`);
        });";
    let run = node(text).instances(3).start();
    let ports = reports(&run, 3);
    assert_eq!(
        ports.values().collect::<BTreeSet<_>>().len(),
        3,
        "{ports:?}"
    );
    for (instance, port) in &ports {
        let door = four(port.parse().unwrap());
        for _ in 0..5 {
            let answer = Request::get(&door, "/api?ms=0").unwrap();
            assert!(
                answer.worker().starts_with(&format!("{instance} ")),
                "{}",
                answer.body
            );
        }
    }
}

/// The workers of one cluster share it, as Node documents.
fn port_0_is_shared(setup: Setup) {
    let _turn = beside_others();
    let mut run = setup.instances(1).start();
    let ports = reports(&run, 3);
    assert_eq!(ports.len(), 3, "{ports:?}");
    let different: BTreeSet<_> = ports.values().collect();
    assert_eq!(different.len(), 1, "{ports:?}");
    exact(&mut run, &four(ports["1"].parse().unwrap()), 3);
}

const CLUSTER_ON_PORT_0: &str = r#"
import cluster from "node:cluster";
if (cluster.isPrimary) {
  for (let i = 0; i < 3; i++) cluster.fork();
} else {
  const server = createServer((request, response) => {
    const query = new URL(request.url, "http://localhost").searchParams;
    response.end(JSON.stringify(work(query, cluster.worker.id)));
  });
  server.listen(0, () => console.log(`report ${cluster.worker.id}: ${server.address().port}`));
}
"#;

#[test]
fn port_0_is_shared_in_a_cluster_of_node() {
    port_0_is_shared(node(CLUSTER_ON_PORT_0));
}

#[test]
fn port_0_is_shared_in_a_cluster_of_bun() {
    port_0_is_shared(node(CLUSTER_ON_PORT_0).option("--interpreter", "bun"));
}

const LISTEN_AND_REPORT: &str = "
    const name = process.env.NODE_APP_INSTANCE;
    createServer(handler)
        .on('error', (error) => console.log(`report ${name}: ${error.code}`))
        .listen(process.env.PORT, () => console.log(`report ${name}: listening`));
    setInterval(() => {}, 1e6);
";

/// maitred keeps its hands off a private port: who comes second finds it taken, as ever.
#[test]
fn a_port_may_be_kept_private() {
    let _turn = beside_others();
    let setup = node(LISTEN_AND_REPORT).instances(2);
    let port = setup.port().to_string();
    let mut run = setup.option("--private-port", port).start();
    let seen = reports(&run, 2);
    let seen: BTreeSet<_> = seen.values().map(String::as_str).collect();
    assert_eq!(seen, BTreeSet::from(["EADDRINUSE", "listening"]));
    Request::get(&run.door(), "/api?ms=0").unwrap();
    assert!(
        !run.events().iter().any(|event| event.is("listening")),
        "{}",
        run.story()
    );
}

/// Sockets of one process alone are not shared: by their name, by the folder that they lie in, by
/// what is known of a program, or by the config.
fn keeps_unix_sockets_private(per: &str) {
    let _turn = beside_others();
    let setup = node(
        "import fs from 'node:fs';
        const folder = process.env.FOLDER;
        const name = process.env.NODE_APP_INSTANCE;
        const made = `${folder}/app-${name}x8Fk2q`;
        fs.mkdirSync(made, { mode: 0o700 });
        const own = [
            `\\0debug-${process.pid}`, `${made}/x.sock`,
            `${folder}/gunicorn.ctl`, `${folder}/own.sock`, `\\0own-maitred-${process.ppid}`,
        ];
        if (process.env.PER === 'request') own.push(`${folder}/x-${process.pid}.sock`);
        for (const path of own) {
            if (path[0] === '/') fs.rmSync(path, { force: true });
            await new Promise((resolve) => createServer(handler)
                .on('error', (error) => { console.log(`${path}: ${error.code}`); resolve(); })
                .listen(path, resolve));
        }
        createServer(handler).listen(process.env.PORT);",
    );
    let folder = setup.folder().to_owned();
    let setup = setup
        .env("FOLDER", &folder)
        .env("PER", per)
        .option("--per", per)
        .option("--private-path", "own.sock,@own-maitred-*");
    let port = setup.port();
    let mut run = setup.instances(2).start();
    run.listening(2);
    let shared: BTreeSet<_> = run
        .events()
        .iter()
        .filter(|event| event.is("listening"))
        .map(|event| event.text("address").to_owned())
        .collect();
    assert_eq!(shared.len(), 1, "{shared:?}\n{}", run.story());
    assert!(shared.iter().all(|it| it.ends_with(&format!(":{port}"))));
}

#[test]
fn a_unix_socket_may_be_kept_private() {
    keeps_unix_sockets_private("connection");
}

#[test]
fn a_unix_socket_may_be_kept_private_from_requests() {
    keeps_unix_sockets_private("request");
}

/// Natively, a server that closes takes the path with it, from under all others.
#[test]
fn a_unix_socket_outlives_the_worker_that_closes_it() {
    let _turn = beside_others();
    let setup = node(
        "const server = createServer(handler).listen(process.env.SOCKET);
        process.on('SIGUSR2', () => server.close(() => process.exit(0)));",
    );
    let path = setup.folder().join("app.sock");
    let door = Door::Unix(path.clone());
    let mut run = setup.env("SOCKET", &path).instances(2).start();
    run.listening_on(&format!("unix:{}", path.display()), 2);

    for signal in [Signal::USR2, Signal::KILL] {
        let before = run.events().last().unwrap().clone();
        let worker = run.newest_worker();
        kill_process(worker, signal).unwrap();
        let exited = run.event_after(&before, "exit", |event| event.is("exited"));
        Request::get(&door, "/api?ms=0").unwrap();
        run.event_after(&exited, "its return", |event| {
            event.is("listening") && event.number("members") == 2
        });
        exact(&mut run, &door, 2);
    }
}

/// One process cannot listen twice on the same port; that instances share it changes nothing.
fn twice_is_an_error(setup: Setup) {
    let _turn = beside_others();
    let mut run = setup.instances(2).start();
    let seen = reports(&run, 2);
    assert!(seen.values().all(|error| error == "EADDRINUSE"), "{seen:?}");
    run.listening(2);
    exact_at_its_port(&mut run, 2);
}

#[test]
fn listening_twice_is_an_error_in_node() {
    twice_is_an_error(node(
        "const name = process.env.NODE_APP_INSTANCE;
        createServer(handler).listen(process.env.PORT, () => {
            createServer(handler)
                .on('error', (error) => console.log(`report ${name}: ${error.code}`))
                .listen(process.env.PORT, () => console.log(`report ${name}: listening`));
        });",
    ));
}

#[test]
fn listening_twice_is_an_error_in_bun() {
    twice_is_an_error(bun("const name = process.env.NODE_APP_INSTANCE;
        Bun.serve({ port: process.env.PORT, fetch });
        try {
            Bun.serve({ port: process.env.PORT, fetch });
            console.log(`report ${name}: listening`);
        } catch (error) {
            console.log(`report ${name}: ${error.code}`);
        }"));
}

#[test]
fn listening_again_after_a_close_works() {
    let _turn = beside_others();
    let text = "
        const name = process.env.NODE_APP_INSTANCE;
        const first = createServer(handler).listen(process.env.PORT, () => {
            first.close(() => createServer(handler).listen(process.env.PORT, () => {
                console.log(`report ${name}: again`);
            }));
        });";
    let mut run = node(text).instances(2).start();
    reports(&run, 2);
    exact_at_its_port(&mut run, 2);
}

/// Only some may listen below 1024. Whoever may not is told so, with the error of that name.
#[test]
fn privileged_ports_are_for_the_privileged() {
    let _turn = beside_others();
    let mut allowed = true;
    let port = (600..1024)
        .rev()
        .find(|port| match TcpListener::bind(("::", *port)) {
            Ok(_) => true,
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                allowed = false;
                true
            }
            Err(_) => false,
        });
    let port = port.expect("a port below 1024 that nobody uses");
    // What the kernel let this process do, it lets maitred do.
    let setup = node(LISTEN_AND_REPORT)
        .instances(2)
        .env("PORT", port.to_string());
    let mut run = setup.start();
    let seen = reports(&run, 2);
    if allowed {
        assert!(seen.values().all(|what| what == "listening"), "{seen:?}");
        run.listening_on(&format!(":{port}"), 2);
        exact(&mut run, &four(port), 2);
    } else {
        assert!(seen.values().all(|what| what == "EACCES"), "{seen:?}");
        assert!(
            !run.events().iter().any(|event| event.is("listening")),
            "{}",
            run.story()
        );
    }
}
