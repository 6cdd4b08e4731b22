//! Node's channel: wait_ready, and shutdown_with_message.

use std::fs;

use crate::harness::beside_others;
use crate::home::Home;

const RUNTIMES: [&str; 2] = ["node", "bun"];

/// Says that it is ready when the file `go` is there; ends by message or by signal, and tells how.
const WORKER: &str = "
    const fs = require('fs');
    process.on('message', (m) => {
        if (m === 'shutdown') { fs.writeFileSync('ended', 'by message'); process.exit(0) }
    });
    process.on('SIGINT', () => { fs.writeFileSync('ended', 'by signal'); process.exit(0) });
    setInterval(() => {}, 1000);
    if (fs.existsSync('go')) process.send('ready');
    console.log('begun');
";

#[test]
fn start_waits_until_the_app_is_ready() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        let home = Home::new();
        home.file("worker.cjs", WORKER);
        home.file("go", "");
        let start = [
            "start",
            "worker.cjs",
            "--interpreter",
            runtime,
            "--wait-ready",
        ];
        home.does(&start);
        assert_eq!(home.instances()[0]["pm2_env"]["status"], "online");
    }
}

#[test]
fn what_is_not_ready_in_time_is_told_of() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("worker.cjs", WORKER);
    let ended = home.run(&[
        "start",
        "worker.cjs",
        "--wait-ready",
        "--listen-timeout",
        "300",
    ]);
    let expected = "has not called process.send(\"ready\") after 300 ms";
    assert!(ended.errors.contains(expected), "{ended:?}");
    assert_eq!(home.instances()[0]["pm2_env"]["status"], "launching");
}

#[test]
fn a_reload_that_is_never_ready_keeps_the_old_worker() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("worker.cjs", WORKER);
    home.file("go", "");
    // Only who is never ready is waited for so briefly.
    let timeout = |ms: &str| {
        let app = format!(
            r#"{{"script": "worker.cjs", "instances": 1, "wait_ready": true, "listen_timeout": {ms}}}"#
        );
        home.file("app.json", &app);
    };
    timeout("60000");
    home.does(&["start", "app.json"]);
    let old = home.pids()[0];
    fs::remove_file(home.folder().join("go")).unwrap();
    timeout("1000");
    let said = home.fails(&["reload", "app.json"]);
    assert!(said.contains("listen_timeout"), "{said}");
    assert_eq!(home.pids()[0], old);
    home.file("go", "");
    timeout("60000");
    home.does(&["reload", "app.json"]);
    assert_ne!(home.pids()[0], old);
}

#[test]
fn an_app_is_told_to_end_by_message_if_it_wants_so() {
    let _turn = beside_others();
    for runtime in RUNTIMES {
        for (flags, how) in [
            (&["--shutdown-with-message"][..], "by message"),
            (&[], "by signal"),
        ] {
            let home = Home::new();
            home.file("worker.cjs", WORKER);
            let start = ["start", "worker.cjs", "--interpreter", runtime];
            home.does(&[&start, flags, &["-k", "30000"]].concat());
            // Its handlers are set before it writes.
            assert_eq!(home.follow("worker").next(), "begun");
            home.does(&["stop", "worker"]);
            assert_eq!(
                fs::read_to_string(home.folder().join("ended")).unwrap(),
                how
            );
        }
    }
}
