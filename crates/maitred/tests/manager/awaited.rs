//! A start that waits for another app to complete, and what may become of that one meanwhile.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::harness::beside_others;
use crate::home::{Home, parent_of};
use crate::wait::until_it_is;

/// Ends when there is a file `done`, with the code in it.
const JOB: &str = "
console.log('up');
process.send('ready');
setInterval(() => {
    const fs = require('fs');
    if (fs.existsSync('done')) process.exit(Number(fs.readFileSync('done', 'utf8')));
}, 20);
";

/// A `start` of an app that needs a job to complete; the job runs.
fn waiting() -> (Home, Child) {
    let home = Home::new();
    home.file("job.js", JOB);
    home.file("web.sh", "exec sleep 1000\n");
    let apps = json!([
        { "script": "job.js", "autorestart": false, "wait_ready": true, "listen_timeout": "1h" },
        { "script": "web.sh", "depends_on": { "app": "job", "until": "completed" } },
    ]);
    home.file("apps.json", &apps.to_string());
    let mut start = home.command(&["start", "apps.json", "-s"]);
    let start = start.stderr(Stdio::piped()).spawn().unwrap();
    until_it_is("the job writes", || home.log("job-out.log").exists());
    home.is_up("job", 1);
    until_it_is("the job is seen to be up", || {
        let statuses = home.statuses();
        statuses
            .first()
            .is_some_and(|(_, status)| status == "online")
    });
    (home, start)
}

/// What the start says in the end, and whether it is a success.
fn end_of(mut start: Child) -> (bool, String) {
    let lines = BufReader::new(start.stderr.take().unwrap()).lines();
    let said: Vec<_> = lines.map_while(Result::ok).collect();
    (start.wait().unwrap().success(), said.join("\n"))
}

#[test]
fn it_ends_with_the_app_that_it_waits_for() {
    let _turn = beside_others();
    type Meanwhile = fn(&Home);
    let ends: [(&str, Meanwhile, &str); 5] = [
        ("it completes", |home| drop(home.file("done", "0")), ""),
        (
            "it fails",
            |home| drop(home.file("done", "3")),
            "job has exited with code 3: web is not started",
        ),
        (
            "it is deleted",
            |home| drop(home.does(&["delete", "job"])),
            "job was deleted: web is not started",
        ),
        (
            "it is stopped",
            |home| drop(home.does(&["stop", "job"])),
            "job was killed by SIGINT: web is not started",
        ),
        (
            "it loses supervisor and guard",
            |home| home.crash("job"),
            "job has lost its supervisor: web is not started",
        ),
    ];
    for (name, meanwhile, expected) in ends {
        let (home, start) = waiting();
        meanwhile(&home);
        let (succeeds, said) = end_of(start);
        assert_eq!(succeeds, expected.is_empty(), "{name}: {said}");
        assert!(said.contains(expected), "{name}: {said}");
    }
}

/// A supervisor that takes the place of a killed one goes on with the job, which is waited for.
#[test]
fn it_outlives_a_supervisor_that_is_replaced() {
    let _turn = beside_others();
    let (home, start) = waiting();
    let supervisor = home.supervisor("job");
    let guard = parent_of(supervisor);
    kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL).unwrap();
    until_it_is("another supervisor goes on", || {
        let next = home.supervisor("job");
        next != supervisor && parent_of(next) == guard
    });
    home.file("done", "0");
    let (succeeds, said) = end_of(start);
    assert!(succeeds, "{said}");
}
