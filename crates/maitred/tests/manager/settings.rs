//! Flags beside the name of an app that is there: its settings change, as with pm2.

use serde_json::Value;

use crate::harness::{Request, beside_others};
use crate::home::{Home, NODE_SERVER};
use crate::metrics::ask;

/// One of pm2's fields of the first instance.
fn field(home: &Home, name: &str) -> Value {
    home.instances().remove(0)["pm2_env"][name].clone()
}

#[test]
fn a_setting_changes_with_a_restart_and_stays() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo \"$1 $MARK\"; sleep 1000\n");
    let mut start = home.command(&["start", "job.sh", "--restart-delay", "70", "--", "first"]);
    start.env("MARK", "before");
    assert_eq!(crate::home::ended(start).code, 0);
    let lines = home.follow("job");
    assert_eq!(lines.next(), "first before");
    let pids = home.pids();
    home.does(&["restart", "job", "--max-memory-restart", "200M"]);
    assert_ne!(home.pids(), pids);
    // Without --update-env the environment stays, as all does that was not named.
    assert_eq!(lines.next(), "first before");
    assert_eq!(field(&home, "max_memory_restart"), 200 << 20);
    assert_eq!(field(&home, "restart_delay"), 70);
    let mut restart = home.command(&["restart", "0", "--update-env", "--", "second"]);
    restart.env("MARK", "after");
    assert_eq!(crate::home::ended(restart).code, 0);
    assert_eq!(lines.next(), "second after");
    home.does(&["restart", "job"]);
    assert_eq!(lines.next(), "second after");
    assert_eq!(field(&home, "max_memory_restart"), 200 << 20);
    home.does(&["stop", "job"]);
    home.does(&["start", "job", "--cron-restart", "0 3 * * *"]);
    assert_eq!(field(&home, "status"), "online");
    assert_eq!(field(&home, "cron_restart"), "0 3 * * *");
}

#[test]
fn a_reload_changes_settings_without_a_gap() {
    let _turn = beside_others();
    let home = Home::new();
    let server = "require('http').createServer((_, answer) => answer.end(process.argv[2]))
        .listen(process.env.PORT, () => console.log('up'));";
    home.file("server.js", server);
    home.does(&["start", "server.js", "-i", "2", "--", "one"]);
    home.is_up("server", 2);
    home.does(&["reload", "server", "-i", "3", "--", "two"]);
    assert_eq!(home.pids().len(), 3);
    for _ in 0..6 {
        let response = Request::get(&home.door(), "/").unwrap();
        assert_eq!(response.body, "two");
    }
    // A build that does not come up changes nothing.
    home.fails(&["reload", "server", "--node-args", "--no-such-flag"]);
    assert_eq!(home.pids().len(), 3);
    assert_eq!(Request::get(&home.door(), "/").unwrap().body, "two");
    home.does(&["reload", "server"]);
}

/// A flag changes one field; what it needs is found in those that stay.
#[test]
fn a_policy_of_requests_stays_with_requests() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "2", "--per", "request"]);
    home.does(&["restart", "server", "--balance", "sticky"]);
    let is_sticky = || {
        let (_, answer) = ask(home.port, "GET", "/", "*/*");
        assert!(answer.contains("maitred_worker="), "{answer}");
    };
    is_sticky();
    // Without requests there is no such policy: nothing changes.
    let said = home.fails(&["restart", "server", "--per", "connection"]);
    assert!(said.contains("sticky"), "{said}");
    is_sticky();
}

#[test]
fn what_names_an_app_does_not_change() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "2", "-x"]);
    let pids = home.pids();
    for (line, expected) in [
        (
            &["restart", "job", "--name", "other"][..],
            "job: name cannot be changed",
        ),
        (
            &["reload", "1", "-k", "100"],
            "job: settings are those of all its instances",
        ),
        (&["restart", "job", "--cwd", "nowhere"], "job: cwd: "),
    ] {
        let errors = home.fails(line);
        assert!(errors.contains(expected), "{line:?}: {errors}");
    }
    assert_eq!(home.pids(), pids);
}
