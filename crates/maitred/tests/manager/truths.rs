//! What is said in situations in which something else was once blamed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::harness::{PATIENCE, Process, beside_others, gone_within};
use crate::home::{Ended, Home, NODE_SERVER, ended};

/// A situation, what is said in it, and what is not.
struct Situation {
    name: &'static str,
    comes_to: fn(&Home) -> Ended,
    says: &'static [&'static str],
    says_not: &'static [&'static str],
}

/// Starts a config with this app, puts another one in its place, and runs the command with it.
fn changed(home: &Home, before: &str, after: &str, command: &str) -> Ended {
    home.file("server.js", NODE_SERVER);
    home.file("app.json", before);
    home.does(&["start", "app.json"]);
    home.file("app.json", after);
    let said = home.run(&[command, "app.json"]);
    with_logs(home, said)
}

/// What was said in the logs counts, too.
fn with_logs(home: &Home, mut said: Ended) -> Ended {
    said.errors += &home.does(&["logs", "--nostream", "--lines", "1000"]);
    said
}

const SITUATIONS: [Situation; 6] = [
    Situation {
        name: "wait_ready without process.send(\"ready\")",
        comes_to: |home| {
            home.file("app.js", "setInterval(() => {}, 1e6)");
            home.run(&["start", "app.js", "--wait-ready", "--listen-timeout", "300"])
        },
        says: &[
            "has not called process.send(\"ready\") after 300 ms",
            "leave wait_ready out",
        ],
        says_not: &[],
    },
    Situation {
        name: "a reload of two instances",
        comes_to: |home| {
            let app = r#"{ "script": "server.js", "instances": 2 }"#;
            changed(home, app, app, "reload")
        },
        says: &["server: reloaded"],
        says_not: &["3 workers", "exit code"],
    },
    Situation {
        name: "a restart that replaces the supervisor",
        comes_to: |home| {
            let app = |balance: &str| {
                format!(r#"{{ "script": "server.js", "instances": 2, "balance": "{balance}" }}"#)
            };
            changed(home, &app("round_robin"), &app("least_conn"), "restart")
        },
        says: &["server: restarted"],
        says_not: &["exit code"],
    },
    Situation {
        name: "max_restarts: 0 and a crash after min_uptime",
        comes_to: |home| {
            home.file("job.sh", "sleep 0.3\nexit 3\n");
            let flags = [
                "--max-restarts",
                "0",
                "--min-uptime",
                "100ms",
                "--wait-ready",
            ];
            home.run(&[&["start", "job.sh"], &flags[..]].concat())
        },
        says: &["exited with code 3", "max_restarts is 0"],
        says_not: &["too soon"],
    },
    Situation {
        name: "an app killed by a signal before it is up",
        comes_to: |home| {
            home.file("job.sh", "kill -SEGV $$\n");
            let flags = ["--max-restarts", "0", "--wait-ready"];
            home.run(&[&["start", "job.sh"], &flags[..]].concat())
        },
        says: &["was killed by SIGSEGV"],
        says_not: &["signal 11"],
    },
    Situation {
        name: "a supervisor that was killed",
        comes_to: |home| {
            home.file("job.sh", "exec sleep 1000\n");
            home.does(&["start", "job.sh"]);
            let supervisor = Process::find(home.supervisor("job")).unwrap();
            let pid = rustix::process::Pid::from_raw(supervisor.pid).unwrap();
            let kill = rustix::process::Signal::KILL;
            rustix::process::kill_process(pid, kill).unwrap();
            assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
            // It is back when that is known.
            home.does(&["restart", "job"]);
            with_logs(home, home.run(&["ls"]))
        },
        says: &[
            "the supervisor was killed by SIGKILL; its workers go on",
            "another supervisor follows at once",
            "another supervisor of job goes on with 1 process",
        ],
        says_not: &["signal 9"],
    },
];

#[test]
fn what_is_said_is_so() {
    let _turn = beside_others();
    for situation in SITUATIONS {
        let home = Home::new();
        let said = (situation.comes_to)(&home);
        let name = situation.name;
        for text in situation.says {
            assert!(
                said.errors.contains(text),
                "{name}: no {text:?} in {said:?}"
            );
        }
        for text in situation.says_not {
            assert!(!said.errors.contains(text), "{name}: {text:?} in {said:?}");
        }
    }
}

/// Root can start apps in another user's home, which that user cannot look at.
#[test]
fn an_app_of_another_user_is_named_and_left_out() {
    let _turn = beside_others();
    let home = Home::new();
    if !rustix::process::geteuid().is_root() {
        // There is no other user whose apps could be here.
        assert_eq!(home.run(&["ls"]).errors, "");
        return;
    }
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(home.folder(), 0o1777);
    home.file("job.sh", "exec sleep 1000\n");
    let as_nobody = |args: &[&str]| {
        let mut command = home.command(args);
        command.uid(65534).gid(65534);
        ended(command)
    };
    let said = as_nobody(&["start", "job.sh"]);
    assert_eq!(said.code, 0, "{said:?}");
    let roots = home.path().join("apps/roots");
    fs::create_dir(&roots).unwrap();
    open(&roots, 0o700);
    let said = as_nobody(&["ls"]);
    assert!(said.output.contains("job"), "{said:?}");
    let expected = format!("{} is the app of another user (root)", roots.display());
    assert!(said.errors.contains(&expected), "{said:?}");
    fs::remove_dir(&roots).unwrap();
    assert_eq!(as_nobody(&["kill"]).code, 0);
    // Root does not use another user's home.
    fs::remove_dir_all(home.path()).unwrap();
}
