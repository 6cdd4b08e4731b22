//! Workers and their connections outlive a supervisor that is killed, or makes way for another version: under
//! clients that never retry nobody is refused, cut or closed.

use std::process::Command;

use rustix::process::getuid;
use serde_json::json;

use super::kinds::SOON;
use super::lasting::Lasting;
use super::load::{address, under_load};
use super::{Server, asyncio, bun, deno, node, processes, uvicorn};
use crate::brought_back::kill_supervisor;
use crate::harness::{PATIENCE, beside_others, gone_within, tool};
use crate::home::{Home, ended};

/// How often each supervisor is killed, or makes way.
fn times(variable: &str) -> usize {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap(),
        Err(_) => 6,
    }
}

/// With `per: request` a kill ends what the proxy has in progress, and an update nothing.
fn outlive_their_supervisor(server: &Server, level: &str) {
    let _turn = beside_others();
    let home = Home::new();
    let fields = json!({ "instances": 2, "per": level, "drain_timeout": "1h" });
    server.write(&home, &fields);
    home.does(&["start", "app.json"]);
    home.is_up("app", 2);
    let first = processes(&home);
    let mut lasting = server
        .streams
        .then(|| Lasting::open(address(&home)).unwrap());
    under_load(&home, &server.kinds(), |step| {
        let kills = match level {
            "connection" => times("MAITRED_TEST_KILLS"),
            _ => 0,
        };
        for number in 0..kills {
            step.begins(format!("kill {number}"));
            kill_supervisor(&home, "app");
            let gone_on = lasting.iter_mut().try_for_each(Lasting::go_on);
            gone_on.unwrap_or_else(|error| panic!("after kill {number}: {error}"));
        }
        for number in 0..times("MAITRED_TEST_UPDATES") {
            step.begins(format!("update {number}"));
            home.does(&["update", "app"]);
            let gone_on = lasting.iter_mut().try_for_each(Lasting::go_on);
            gone_on.unwrap_or_else(|error| panic!("after update {number}: {error}"));
        }
        assert_eq!(processes(&home), first);
        let restarts = home.instances();
        let restarts = restarts.iter().map(|it| &it["pm2_env"]["restart_time"]);
        assert_eq!(restarts.collect::<Vec<_>>(), [0, 0]);
        // Who was taken over is replaced as any other.
        for (number, command) in [&["reload", "app"][..], &["scale", "app", "3"]]
            .into_iter()
            .enumerate()
        {
            step.begins(format!("{command:?}"));
            home.does(command);
            step.begins(format!("another supervisor after {command:?} {number}"));
            match level {
                "connection" => drop(kill_supervisor(&home, "app")),
                _ => drop(home.does(&["update"])),
            }
        }
        if let Some(lasting) = lasting {
            lasting.close().unwrap();
        }
        assert_eq!(gone_within(PATIENCE, &first), []);
    });
}

/// Workers that drain give connections back at any moment, so also while a supervisor takes over.
#[test]
fn what_is_given_back_during_an_update_is_not_lost() {
    let _turn = beside_others();
    let home = Home::new();
    let fields = json!({ "instances": 4, "drain_timeout": "1h" });
    node().write(&home, &fields);
    home.does(&["start", "app.json"]);
    home.is_up("app", 4);
    under_load(&home, &[SOON; 150], |step| {
        for number in 0..12 {
            step.begins(format!("update {number}"));
            home.does(&["reload", "app"]);
            home.does(&["update", "app"]);
        }
    });
}

/// What the kernel does not tell maitred in some containers.
#[derive(Clone, Copy, Debug)]
enum Hidden {
    /// Which sockets a process of another user has, to a root without CAP_SYS_PTRACE.
    Sockets,
    /// Which connections are open, where a kernel or filter knows no `sock_diag`.
    Connections,
}

/// Runs a program under a seccomp filter that refuses sockets of the family AF_NETLINK.
const WITHOUT_NETLINK: &str = "
import ctypes, os, platform, struct, sys
SOCKET = {'x86_64': 41, 'aarch64': 198}[platform.machine()]
LOAD, JUMP_IF, RETURN = 0x20, 0x15, 0x06
AF_NETLINK, REFUSE, ALLOW = 16, 0x00050001, 0x7fff0000
steps = [(LOAD, 0, 0, 0), (JUMP_IF, 0, 3, SOCKET), (LOAD, 0, 0, 16), (JUMP_IF, 0, 1, AF_NETLINK),
         (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = struct.pack('HxxxxxxQ', len(steps), ctypes.addressof(code))
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2
libc = ctypes.CDLL(None)
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, FILTER, program) == 0
os.execvp(sys.argv[1], sys.argv[1:])
";

/// The same command, where the kernel does not tell this.
fn blind(command: Command, hidden: Hidden) -> Command {
    let mut blind = match hidden {
        Hidden::Sockets if getuid().is_root() => {
            let mut setpriv = Command::new("setpriv");
            setpriv.arg("--bounding-set=-sys_ptrace");
            setpriv
        }
        // Processes of its own user that hide are as those of another one.
        Hidden::Sockets => return command,
        Hidden::Connections => {
            let mut python = Command::new(tool("python3"));
            python.args(["-c", WITHOUT_NETLINK]);
            python
        }
    };
    blind.arg(command.get_program()).args(command.get_args());
    blind.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => blind.env(name, value),
            None => blind.env_remove(name),
        };
    }
    blind
}

/// Where the kernel does not tell which connections workers have, they are asked: what they give back is taken all the
/// same, and what is in progress is waited for.
fn outlives_blindly(hidden: Hidden) {
    let _turn = beside_others();
    let home = Home::new();
    let mut server = asyncio();
    let hide = "import ctypes\nPR_SET_DUMPABLE = 4\nassert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0) == 0\n";
    server.text.insert_str(0, hide);
    server.write(&home, &json!({ "instances": 2, "drain_timeout": "1h" }));
    let started = ended(blind(home.command(&["start", "app.json"]), hidden));
    assert_eq!(started.code, 0, "{started:?}");
    home.is_up("app", 2);
    under_load(&home, &server.kinds(), |step| {
        for number in 0..5 {
            step.begins(format!("{hidden:?}, reload {number}"));
            home.does(&["reload", "app"]);
            step.begins(format!("{hidden:?}, supervisor {number}"));
            match number % 2 {
                0 => drop(home.does(&["update", "app"])),
                _ => drop(kill_supervisor(&home, "app")),
            }
        }
    });
}

#[test]
fn workers_whose_sockets_are_hidden_outlive_their_supervisor() {
    outlives_blindly(Hidden::Sockets);
}

#[test]
fn workers_whose_connections_nobody_counts_outlive_their_supervisor() {
    outlives_blindly(Hidden::Connections);
}

/// Each server.
macro_rules! outlive {
    ($($test:ident: $server:ident, $level:literal;)*) => {
        $(#[test] fn $test() { outlive_their_supervisor(&$server(), $level); })*
    };
}

outlive! {
    node_workers_outlive_their_supervisor: node, "connection";
    bun_workers_outlive_their_supervisor: bun, "connection";
    deno_workers_outlive_their_supervisor: deno, "connection";
    uvicorn_workers_outlive_their_supervisor: uvicorn, "connection";
    asyncio_workers_outlive_their_supervisor: asyncio, "connection";
    requests_to_node_outlive_an_update: node, "request";
    requests_to_bun_outlive_an_update: bun, "request";
    requests_to_deno_outlive_an_update: deno, "request";
    requests_to_uvicorn_outlive_an_update: uvicorn, "request";
}
