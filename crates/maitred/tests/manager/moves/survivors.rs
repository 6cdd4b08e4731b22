//! Workers and their connections outlive a supervisor that is killed, or makes way for another version: under
//! clients that never retry nobody is refused, cut or closed.

use serde_json::json;

use super::kinds::SOON;
use super::lasting::Lasting;
use super::load::{address, under_load};
use super::{Server, asyncio, bun, deno, node, processes, uvicorn};
use crate::brought_back::kill_supervisor;
use crate::harness::{PATIENCE, beside_others, gone_within};
use crate::home::Home;

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
