//! What workers write, and what becomes of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::harness::{PATIENCE, beside_others};
use crate::home::Home;

/// Writes what its first argument says, and stays.
const WRITER: &str = "printf \"$1\"; exec sleep 1000\n";

#[test]
fn each_instance_has_files_for_its_owner_alone() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "app.sh",
        "echo out of $NODE_APP_INSTANCE; echo err >&2; exec sleep 1000",
    );
    home.does(&["start", "app.sh", "-i", "2"]);
    let lines = home.follow("app");
    let mut seen = [lines.next(), lines.next()];
    seen.sort();
    assert_eq!(seen, ["out of 0", "out of 1"]);
    for name in ["app-out-0.log", "app-error-1.log"] {
        let meta = fs::metadata(home.log(name)).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// Names that are one where only letters and hyphens count, and one name in two namespaces.
#[test]
fn each_app_has_a_log_of_its_own_whatever_it_is_called() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", WRITER);
    let apps = [
        ("my-app", "default"),
        ("my_app", "default"),
        ("my app", "default"),
        ("my-app", "other"),
    ];
    for (at, (name, namespace)) in apps.iter().enumerate() {
        let line = format!("of {at}\\n");
        let app = [
            "start",
            "app.sh",
            "-n",
            name,
            "--namespace",
            namespace,
            "--",
        ];
        home.does(&[&app[..], &[&line]].concat());
        assert_eq!(home.follow(&at.to_string()).next(), format!("of {at}"));
    }
    let paths: BTreeSet<_> = home
        .instances()
        .iter()
        .map(|it| {
            it["pm2_env"]["pm_out_log_path"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(paths.len(), apps.len(), "{paths:?}");
    // An ordinary name is that of the file, as with pm2.
    assert!(home.log("my-app-out.log").exists());
}

#[test]
fn both_outputs_are_in_one_file_if_so_wished() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", "echo out; exec sleep 1000");
    let app = r#"{"script": "app.sh", "name": "app", "log_file": true}"#;
    home.file("app.json", app);
    home.does(&["start", "app.json"]);
    assert_eq!(home.follow("app").next(), "out");
    home.does(&["stop", "app"]);
    assert_eq!(fs::read_to_string(home.log("app.log")).unwrap(), "out\n");
}

#[test]
fn escape_sequences_do_nothing_to_a_terminal() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", WRITER);
    home.does(&["start", "app.sh", "--", "a\\033[2J\\033]0;x\\007b\\n"]);
    assert_eq!(
        home.follow("app").next().as_bytes(),
        b"a\x1b[2J\x1b]0;x\x07b"
    );
    let shown = home.does(&["logs", "app", "--nostream"]);
    assert!(shown.contains("a\\x1b[2J\\x1b]0;x\\x07b"), "{shown}");
    assert!(!shown.contains('\x1b'));
}

#[test]
fn json_logs_cannot_be_forged() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.sh", WRITER);
    home.does(&[
        "start",
        "app.sh",
        "--log-type",
        "json",
        "--",
        "x\"},\\r{\"message\":\"y\\n",
    ]);
    let line = home.follow("app").next();
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["message"], "x\"},\r{\"message\":\"y");
    assert_eq!(object["app_name"], "app");
    assert_eq!(object["type"], "out");
}

#[test]
fn a_line_of_ten_megabytes_stays_whole() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "app.sh",
        "head -c 10000000 /dev/zero | tr '\\0' x; echo; echo after; exec sleep 1000",
    );
    home.does(&["start", "app.sh"]);
    let lines = home.follow("app");
    let long = lines.next();
    assert_eq!(long.len(), 10_000_000);
    assert!(long.bytes().all(|byte| byte == b'x'));
    assert_eq!(lines.next(), "after");
}

#[test]
fn flushed_and_moved_logs_are_written_on() {
    let _turn = beside_others();
    let home = Home::new();
    // Says a word for each line that it is sent.
    home.file(
        "app.sh",
        "echo begun; while read -r line; do echo \"got $line\"; done",
    );
    home.does(&["start", "app.sh"]);
    let lines = home.follow("app");
    assert_eq!(lines.next(), "begun");
    let log = home.log("app-out.log");
    home.does(&["flush", "app"]);
    assert_eq!(fs::read(&log).unwrap(), b"");
    home.does(&["send", "0", "one"]);
    assert_eq!(lines.next(), "got one");
    fs::rename(&log, home.log("moved")).unwrap();
    home.does(&["reloadLogs"]);
    home.does(&["send", "0", "two"]);
    assert_eq!(lines.next(), "got two");
    assert_eq!(fs::read(home.log("moved")).unwrap(), b"got one\n");
    assert_eq!(fs::read(&log).unwrap(), b"got two\n");
}

/// What maitred says of an app has its time, in its file and where it is shown.
#[test]
fn what_happens_to_an_app_is_dated() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exit 3\n");
    home.run(&["start", "job.sh", "--no-autorestart"]);
    let log = home.path().join("apps/job/supervisor.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("job-0 exited with code 3"), "{log}");
    for line in log.lines() {
        let (time, sentence) = line.split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        assert!(sentence.starts_with("maitred: "), "{line}");
    }
    let shown = home.does(&["logs", "job", "--nostream"]);
    let line = shown.lines().find(|line| line.contains("exited")).unwrap();
    let (_, said) = line.split_once("job|maitred | 20").unwrap();
    assert!(said.contains(": job-0 exited with code 3"), "{line}");
    let json = home.does(&["logs", "job", "--nostream", "--json"]);
    let line = json.lines().find(|line| line.contains("exited")).unwrap();
    let object: serde_json::Value = serde_json::from_str(line).unwrap();
    assert!(
        object["timestamp"].as_str().unwrap().ends_with('Z'),
        "{line}"
    );
}

/// While nobody reads, as when a disk is slow, a runtime that does not wait for a pipe ends: what it
/// has written lies in the pipe. (A pipe as the kernel makes it holds 64 KB.)
#[test]
fn the_last_lines_of_a_runtime_that_ends_at_once_are_kept() {
    const LINES: usize = 9000;
    let _turn = beside_others();
    for runtime in ["node", "bun"] {
        let home = Home::new();
        home.file(
            "app.cjs",
            &format!(
                "process.on('SIGUSR2', () => {{
                    process.kill(process.ppid, 'SIGSTOP');
                    for (let nth = 0; nth < {LINES}; nth++)
                        process.stdout.write(`${{nth}} `.padEnd(99, 'x') + '\\n');
                    process.exit(3);
                }});
                setInterval(() => {{}}, 1000);
                console.log('up');"
            ),
        );
        home.does(&[
            "start",
            "app.cjs",
            "--no-autorestart",
            "--interpreter",
            runtime,
        ]);
        home.is_up("app", 1);
        let supervisor = Pid::from_raw(home.supervisor("app")).unwrap();
        let worker = Pid::from_raw(home.pids()[0]).unwrap();
        let over = pidfd_open(worker, PidfdFlags::empty()).unwrap();
        kill_process(worker, Signal::USR2).unwrap();
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let ended = poll(&mut [PollFd::new(&over, PollFlags::IN)], Some(&limit));
        kill_process(supervisor, Signal::CONT).unwrap();
        assert_eq!(ended, Ok(1), "{runtime}");
        let lines = home.follow("app");
        for nth in 0..LINES {
            while !lines.next().starts_with(&format!("{nth} x")) {}
        }
    }
}
