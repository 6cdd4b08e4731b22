//! `maitred run` in a unit of systemd: what it is told, and the sockets that it passes.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PATIENCE, Request, beside_others};
use crate::home::{Home, NODE_SERVER, ended};
use crate::wait::until_it_is;

/// A process that is asked to end with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    pub(crate) fn end(&mut self) -> Option<i32> {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where a service manager hears of its unit.
pub(crate) fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn next(socket: &UnixDatagram) -> String {
    let mut said = [0; 256];
    let len = socket.recv(&mut said).unwrap();
    String::from_utf8_lossy(&said[..len]).trim().to_owned()
}

/// Runs a command as systemd does: with listening sockets as descriptors from 3 on.
pub(crate) fn with_sockets(command: &Command, socket: OwnedFd, pid: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID={pid} exec \"$@\"");
    shell.args(["-c", &script, "sh"]).arg(command.get_program());
    shell.args(command.get_args()).stdin(Stdio::from(socket));
    shell.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// It is told when all is up, not before, and that the supervisor lives; its workers do not hear of it.
#[test]
fn it_hears_when_all_is_up_and_that_maitred_lives() {
    let _turn = beside_others();
    let ours = "for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'])
        if (process.env[name]) throw new Error(name);";
    for apps in [1, 2] {
        let home = Home::new();
        home.file("server.js", &format!("{ours}{NODE_SERVER}"));
        home.file(
            "job.js",
            &format!("{ours}console.log('up'); setInterval(() => {{}}, 1e6)"),
        );
        let both = r#"[{ "script": "server.js", "instances": 2 }, { "script": "job.js" }]"#;
        home.file("both.json", both);
        let path = home.folder().join("notify");
        let socket = listen(&path);
        let mut command = match apps {
            1 => home.command(&["run", "server.js", "-i", "2"]),
            _ => home.command(&["run", "both.json"]),
        };
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "600000");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Running(command.spawn().unwrap());
        let mut alive = 0;
        while next(&socket) != "READY=1" {
            // Signs of life may come before.
            alive += 1;
            assert!(alive < 1000);
        }
        Request::get(&home.door(), "/").unwrap();
        for _ in 0..3 {
            assert_eq!(next(&socket), "WATCHDOG=1");
        }
        assert_eq!(running.end(), Some(0));
    }
}

/// What does not come up is not said to be.
#[test]
fn it_is_not_told_of_what_is_not_up() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("bad.js", "process.exit(3)");
    let path = home.folder().join("notify");
    let socket = listen(&path);
    let mut command = home.command(&["run", "bad.js", "--max-restarts", "0"]);
    command.env("NOTIFY_SOCKET", &path);
    assert_ne!(ended(command).code, 0);
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 256]).is_err());
}

/// The port is open before the app runs and after it has ended: whoever comes meanwhile waits. Bun
/// asks for `[::]` first, which it cannot have, and then for the address that was passed.
#[test]
fn a_port_that_it_passes_stays_open() {
    const BUN_SERVER: &str =
        "Bun.serve({ port: process.env.PORT, fetch: () => new Response('ok') });";
    let _turn = beside_others();
    let node_server = NODE_SERVER.replace("process.env.PORT", "process.env.PORT, '0.0.0.0'");
    for (file, server) in [("server.js", &node_server[..]), ("server.ts", BUN_SERVER)] {
        for per in ["connection", "request"] {
            let home = Home::new();
            home.file(file, server);
            let listener = TcpListener::bind(("0.0.0.0", home.port)).unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], home.port));
            for _ in 0..2 {
                let waits = TcpStream::connect(address).unwrap();
                let command = home.command(&["run", file, "-i", "2", "--per", per]);
                let passed = OwnedFd::from(listener.try_clone().unwrap());
                let mut command = with_sockets(&command, passed, "$$");
                command.stdout(Stdio::null()).stderr(Stdio::null());
                let mut running = Running(command.spawn().unwrap());
                assert_eq!(Request::over(waits, "/").unwrap().status, 200);
                for _ in 0..4 {
                    assert_eq!(Request::get(&home.door(), "/").unwrap().status, 200);
                }
                assert_eq!(running.end(), Some(0), "{file} {per}");
            }
            drop(listener);
            // A process that another test starts at this moment has a copy, until it executes its program.
            until_it_is("the port is free", || home.port_is_free());
        }
    }
}

/// What is meant for another process, or is nothing to share, is told apart.
#[test]
fn sockets_of_another_kind_or_process_are_not_taken() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exit 0");
    home.file("server.js", NODE_SERVER);
    home.file(
        "two.json",
        r#"[{ "script": "job.sh" }, { "script": "job.sh", "name": "b" }]"#,
    );
    let tcp = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let udp = || OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let job = &["run", "job.sh", "--no-autorestart"][..];
    for (args, socket, pid, code, says) in [
        (
            job,
            udp(),
            "$$",
            1,
            "descriptor 3 that was passed (LISTEN_FDS) is no listening TCP",
        ),
        (&["run", "two.json"], tcp(), "$$", 1, "a unit of its own"),
        (
            &["run", "job.sh", "-x"],
            tcp(),
            "$$",
            1,
            "an app in fork mode gets none",
        ),
        // It listens at [::] alone.
        (
            &["run", "server.js", "-i", "1", "--no-autorestart"],
            OwnedFd::from(TcpListener::bind(("0.0.0.0", home.port)).unwrap()),
            "$$",
            1,
            "and the socket that was passed to maitred (LISTEN_FDS) has that port at 0.0.0.0:",
        ),
        (job, udp(), "1", 0, ""),
        (job, tcp(), "$$", 0, ""),
    ] {
        let said = ended(with_sockets(&home.command(args), socket, pid));
        assert_eq!(said.code, code, "{args:?}: {said:?}");
        assert!(said.errors.contains(says), "{args:?}: {said:?}");
    }
}
