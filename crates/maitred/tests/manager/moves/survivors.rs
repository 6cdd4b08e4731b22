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
use crate::harness::{PATIENCE, beside_others, gone_within};
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

/// Of workers that hide from their own user, or belong to another one in a container, the kernel does not tell which
/// connections they have: those that they give back are taken all the same, and what is in progress is waited for.
#[test]
fn workers_that_hide_outlive_their_supervisor() {
    let _turn = beside_others();
    let home = Home::new();
    let mut server = asyncio();
    let hide = "import ctypes\nPR_SET_DUMPABLE = 4\nassert ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0) == 0\n";
    server.text.insert_str(0, hide);
    server.write(&home, &json!({ "instances": 2, "drain_timeout": "1h" }));
    let start = home.command(&["start", "app.json"]);
    let started = ended(match getuid().is_root() {
        true => without_tracing(&start),
        false => start,
    });
    assert_eq!(started.code, 0, "{started:?}");
    home.is_up("app", 2);
    under_load(&home, &server.kinds(), |step| {
        for number in 0..4 {
            step.begins(format!("supervisor {number}"));
            match number % 2 {
                0 => drop(home.does(&["update", "app"])),
                _ => drop(kill_supervisor(&home, "app")),
            }
            step.begins(format!("reload {number}"));
            home.does(&["reload", "app"]);
        }
    });
}

/// The same command, by a root that may not look into processes of others, as in a container.
fn without_tracing(command: &Command) -> Command {
    let mut without = Command::new("setpriv");
    without.arg("--bounding-set=-sys_ptrace");
    without.arg(command.get_program()).args(command.get_args());
    without.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => without.env(name, value),
            None => without.env_remove(name),
        };
    }
    without
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
