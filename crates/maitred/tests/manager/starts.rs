//! What a start comes to: how long it waits, its exit code, and what it says.

use std::net::{TcpListener, TcpStream};

use crate::harness::beside_others;
use crate::home::{Home, NODE_SERVER};
use crate::wait::until_it_is;

/// A start, its exit code, and what it says.
struct Start {
    name: &'static str,
    script: (&'static str, &'static str),
    flags: &'static [&'static str],
    code: i32,
    says: &'static str,
}

/// Listens at a port that the test has taken.
const SERVER: (&str, &str) = ("app.js", NODE_SERVER);

/// Who says nothing is taken for up when it sleeps, and on a busy machine also one that has not come to
/// its mistake yet: the outcome is sure with `--wait-ready`.
const STARTS: [Start; 13] = [
    Start {
        name: "crashes, and is tried again",
        script: ("app.sh", "exit 7\n"),
        flags: &["--restart-delay", "1h", "--wait-ready"],
        code: 1,
        says: "app-0 has exited with code 7 before it was up; `maitred logs app`",
    },
    Start {
        name: "crashes, and is given up",
        script: ("app.sh", "exit 7\n"),
        flags: &["--max-restarts", "0", "--wait-ready"],
        code: 1,
        says: "app-0 has exited with code 7 before it was up; `maitred logs app`",
    },
    Start {
        name: "is killed",
        script: ("app.sh", "kill -SEGV $$\n"),
        flags: &["--restart-delay", "1h", "--wait-ready"],
        code: 1,
        says: "app-0 was killed by SIGSEGV before it was up",
    },
    Start {
        name: "crashes without restarts",
        script: ("app.sh", "exit 7\n"),
        flags: &["--no-autorestart", "--wait-ready"],
        code: 1,
        says: "app-0 has exited with code 7",
    },
    Start {
        name: "all crash",
        script: ("app.sh", "exit 7\n"),
        flags: &["-i", "3", "--restart-delay", "1h", "--wait-ready"],
        code: 1,
        says: "app-2 has exited with code 7",
    },
    Start {
        name: "some crash",
        script: (
            "app.sh",
            "[ $NODE_APP_INSTANCE = 0 ] || exit 7; exec sleep 1000\n",
        ),
        flags: &[
            "-i",
            "3",
            "--restart-delay",
            "1h",
            "--wait-ready",
            "--listen-timeout",
            "5000",
        ],
        code: 0,
        says: "app-2 has exited with code 7",
    },
    Start {
        name: "has done what it was started for",
        script: ("app.sh", "exit 0\n"),
        flags: &["--no-autorestart", "--wait-ready"],
        code: 0,
        says: "app: started",
    },
    Start {
        name: "ends with a code that is to be so",
        script: ("app.sh", "exit 7\n"),
        flags: &["--stop-exit-codes", "7", "--wait-ready"],
        code: 0,
        says: "app: started",
    },
    Start {
        name: "is not ready in time",
        script: ("app.js", "setInterval(() => {}, 1e6)"),
        flags: &["--wait-ready", "--listen-timeout", "300"],
        code: 0,
        says: "has not called process.send(\"ready\") after 300 ms",
    },
    Start {
        name: "its port is in use, and shared",
        script: SERVER,
        flags: &["-i", "2", "--restart-delay", "1h", "--wait-ready"],
        code: 1,
        says: "it is in use by ",
    },
    Start {
        name: "its port is in use, and its own",
        script: SERVER,
        flags: &["--restart-delay", "1h", "--wait-ready"],
        code: 1,
        says: "app-0 has exited with code 1 before it was up; `maitred logs app`",
    },
    Start {
        name: "sleeps before it listens",
        script: ("app.js", "setTimeout(() => {}, 1e6)"),
        flags: &["-i", "2"],
        code: 0,
        says: "app: started; so far it listens on no address that maitred can share",
    },
    Start {
        name: "opens its own sockets, or none",
        script: ("app.js", "setTimeout(() => {}, 1e6)"),
        flags: &[],
        code: 0,
        says: "app: started\n",
    },
];

#[test]
fn an_app_of_which_nothing_is_up_is_no_success() {
    let _turn = beside_others();
    for start in &STARTS {
        let home = Home::new();
        let _taken = TcpListener::bind(("::", home.port)).unwrap();
        let (script, text) = start.script;
        home.file(script, text);
        let said = home.run(&[&["start", script], start.flags].concat());
        assert_eq!(said.code, start.code, "{}: {said:?}", start.name);
        assert!(said.errors.contains(start.says), "{}: {said:?}", start.name);
    }
}

/// Another app of the home that has a port is named, however it holds it.
#[test]
fn the_app_that_has_a_port_is_named() {
    let _turn = beside_others();
    let child = "require('child_process').fork('child.js'); setInterval(() => {}, 1e6)";
    for (name, script, flags) in [
        ("shared", NODE_SERVER, &["-i", "2"][..]),
        ("own", NODE_SERVER, &[]),
        ("childs", child, &[]),
        ("metrics", "setInterval(() => {}, 1e6)", &["--metrics"]),
    ] {
        let home = Home::new();
        let port = home.port.to_string();
        home.file("child.js", NODE_SERVER);
        home.file(&format!("{name}.js"), script);
        home.file("app.js", NODE_SERVER);
        let script = format!("{name}.js");
        let mut start = vec!["start", &script];
        start.extend(flags);
        start.extend((name == "metrics").then_some(port.as_str()));
        home.does(&start);
        until_it_is("somebody listens", || {
            TcpStream::connect(("127.0.0.1", home.port)).is_ok()
        });
        let said = home.fails(&[
            "start",
            "app.js",
            "-i",
            "1",
            "--restart-delay",
            "1h",
            "--wait-ready",
        ]);
        let expected = format!(") of the app {name}. ");
        assert!(said.contains(&expected), "{said}");
        assert!(
            said.contains(&format!("`maitred stop {name}` frees it")),
            "{said}"
        );
        // So it is of the port for the metrics.
        home.file("idle.js", "setInterval(() => {}, 1e6)");
        home.does(&["start", "idle.js", "--metrics", &port]);
        until_it_is("the metrics' fault is told", || {
            home.does(&["logs", "idle", "--nostream"])
                .contains(&expected)
        });
    }
}

/// Is ready at once, unless there is a file that breaks it.
const BREAKS: &str = "if (require('fs').existsSync('broken')) process.exit(7);
    process.send('ready');
    setInterval(() => {}, 1e6);";

/// Whichever command it is, and however many of its instances have failed.
#[test]
fn each_line_names_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.js", BREAKS);
    let app = "script: 'app.js', instances: 3, restart_delay: '1h', wait_ready: true, \
               listen_timeout: 600000, before_start: '[ ! -e unfit ] || { echo one; echo two; exit 5; }'";
    home.file("apps.json", &format!("[{{ {app} }}]"));
    home.does(&["start", "apps.json"]);
    home.file("broken", "");
    for line in [
        "restart app",
        "restart apps.json",
        "startOrRestart apps.json",
        "stop app",
        "start app",
        "kill",
        "resurrect",
        "delete app",
        "start apps.json",
    ] {
        if line == "kill" {
            home.does(&["save"]);
        }
        let line: Vec<_> = line.split(' ').collect();
        let said = home.run(&line).errors;
        let failed = said.lines().filter(|line| line.contains("has exited"));
        let failed = failed.collect::<Vec<_>>();
        let ends = matches!(line[0], "stop" | "delete" | "kill");
        assert_eq!(failed.len(), if ends { 0 } else { 3 }, "{line:?}: {said}");
        for line in failed {
            assert!(line.starts_with("maitred: app: app-"), "{said}");
        }
    }
    home.file("unfit", "");
    let said = home.fails(&["restart", "app"]);
    let expected = "maitred: app: before_start has exited with code 5\n\
                    maitred: app:   one\nmaitred: app:   two\n";
    assert!(said.contains(expected), "{said}");
}

/// Whichever command starts it, and whatever becomes of others beside it.
#[test]
fn every_command_that_starts_an_app_says_so() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("good.sh", "exec sleep 1000\n");
    home.file("bad.js", BREAKS);
    let app = "restart_delay: '1h', min_uptime: '1h', wait_ready: true, listen_timeout: 600000";
    let apps = format!("[{{ script: 'good.sh' }}, {{ script: 'bad.js', {app} }}]");
    home.file("apps.json", &apps);
    home.does(&["start", "apps.json"]);
    home.file("broken", "");
    for line in [
        "start apps.json",
        "restart apps.json",
        "startOrRestart apps.json",
        "restart bad",
        "start bad.js -f --restart-delay 1h --wait-ready",
        "restart bad -k 100",
    ] {
        let line: Vec<_> = line.split(' ').collect();
        let said = home.fails(&line);
        assert!(said.contains("bad-0 has exited with code 7"), "{said}");
        let online = (0, "online".to_owned());
        assert_eq!(home.statuses()[0], online, "{line:?}");
    }
}
