//! Things that go wrong, each with a clear outcome.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PATIENCE, Request, beside_others, gone_within};
use crate::home::{Home, NODE_SERVER, ended, parent_of};
use crate::wait::until_it_is;

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_guard_that_is_killed_leaves_nothing_and_is_replaced() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "2"]);
    for (both, ups) in [(false, 4), (true, 6)] {
        let all = home.processes();
        let supervisor = home.supervisor("server");
        let guard = parent_of(supervisor);
        kill(guard);
        if both {
            // It may have seen the guard's end already.
            let _ = kill_process(Pid::from_raw(supervisor).unwrap(), Signal::KILL);
        }
        assert_eq!(gone_within(PATIENCE, &all), []);
        let crashed = [0, 1].map(|id| (id, "crashed".to_owned()));
        assert_eq!(home.statuses(), crashed);
        assert!(home.port_is_free());
        home.does(&["start", "server"]);
        let online = [0, 1].map(|id| (id, "online".to_owned()));
        assert_eq!(home.statuses(), online);
        home.is_up("server", ups);
        Request::get(&home.door(), "/").unwrap();
    }
    home.crash("server");
    home.does(&["stop", "server"]);
    let stopped = [0, 1].map(|id| (id, "stopped".to_owned()));
    assert_eq!(home.statuses(), stopped);
}

/// An app that has not finished its start is to run too.
#[test]
fn a_guard_that_is_killed_during_a_start_leaves_a_crashed_app() {
    let _turn = beside_others();
    let home = Home::new();
    let script = "setInterval(() => {}, 1e6); require('net').connect(process.env.PORT)";
    home.file("slow.js", script);
    let begun = TcpListener::bind(("127.0.0.1", home.port)).unwrap();
    let flags = ["--wait-ready", "--listen-timeout", "60000"];
    let mut start = home.command(&[&["start", "slow.js"], &flags[..]].concat());
    start.stdout(Stdio::null()).stderr(Stdio::null());
    let mut start = start.spawn().unwrap();
    begun.accept().unwrap();
    home.crash("slow");
    start.wait().unwrap();
    assert_eq!(home.statuses(), [(0, "crashed".to_owned())]);
}

/// Also when supervisor and guard are killed in the same moment, the next start begins with nothing.
#[test]
fn what_is_left_of_those_that_are_killed_is_removed() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "exec sleep 1000\n");
    let place = home.folder().join("tmp");
    fs::create_dir(&place).unwrap();
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("TMPDIR", &place).env_remove("XDG_RUNTIME_DIR");
        let said = ended(command);
        assert_eq!(said.code, 0, "{said:?}");
    };
    let folders = || fs::read_dir(&place).unwrap().count();
    let unfinished = home.path().join("apps/job/app.json.new-1");
    run(&["start", "job.sh"]);
    for (both, left) in [(false, 0), (true, 1)] {
        assert_eq!(folders(), 1);
        let all = home.processes();
        let pid = home.supervisor("job");
        let guard = parent_of(pid);
        // Both are stopped first, so that neither sees the other's end.
        for pid in [pid, guard] {
            if both {
                kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
            }
        }
        kill(guard);
        if both {
            kill(pid);
        }
        assert_eq!(gone_within(PATIENCE, &all), []);
        assert_eq!(folders(), left);
        assert_eq!(home.statuses(), [(0, "crashed".to_owned())]);
        // As if one of them had been about to write.
        fs::write(&unfinished, "{").unwrap();
        run(&["start", "job"]);
        assert!(!unfinished.exists());
        assert_eq!(home.statuses(), [(0, "online".to_owned())]);
    }
    let all = home.processes();
    home.does(&["stop", "job"]);
    assert_eq!(gone_within(PATIENCE, &all), []);
    assert_eq!(folders(), 0);
}

/// A child of a worker outlives both when they are killed at once; the next start ends it, so that
/// what it holds is free again.
#[test]
fn what_a_worker_has_started_ends_with_the_next_start_at_the_latest() {
    let _turn = beside_others();
    let home = Home::new();
    let server = "require('net').createServer().listen(process.env.PORT, () => console.log('up'))";
    home.file("server.js", server);
    home.file("wrap.sh", "node server.js\nexit 1\n");
    home.file("other.sh", "exec sleep 1000\n");
    let place = home.folder().join("tmp");
    fs::create_dir(&place).unwrap();
    let run = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("TMPDIR", &place).env_remove("XDG_RUNTIME_DIR");
        let said = ended(command);
        assert_eq!(said.code, 0, "{said:?}");
    };
    run(&["start", "wrap.sh"]);
    run(&["start", "other.sh"]);
    let lines = home.follow("wrap");
    assert_eq!(lines.next(), "up");
    let pid = home.supervisor("wrap");
    let guard = parent_of(pid);
    for pid in [pid, guard] {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::STOP).unwrap();
    }
    let others = home.pids()[1];
    let left: Vec<_> = home
        .processes()
        .into_iter()
        .filter(|it| it.command.starts_with("node"))
        .collect();
    assert_eq!(left.len(), 1);
    kill(guard);
    kill(pid);
    run(&["start", "wrap"]);
    assert_eq!(gone_within(PATIENCE, &left), []);
    assert_eq!(lines.next(), "up");
    assert_eq!(home.pids()[1], others);
}

#[test]
fn one_apps_trouble_is_not_anothers() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "a"]);
    home.does(&["start", "job.sh", "-n", "b"]);
    let before = home.pids();
    home.crash("a");
    assert_eq!(home.pids()[1], before[1]);
    home.does(&["save"]);
    home.does(&["resurrect"]);
    let online = [0, 1].map(|id| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online);
    assert_eq!(home.pids()[1], before[1]);
}

/// What clears up after a dead supervisor is waited for, and not taken for the app.
#[test]
fn an_app_that_has_just_crashed_is_brought_back() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    home.does(&["save"]);
    let supervisor = home.supervisor("job");
    let guard = Pid::from_raw(parent_of(supervisor)).unwrap();
    kill_process(guard, Signal::STOP).unwrap();
    kill(supervisor);
    std::thread::scope(|scope| {
        let resurrect = scope.spawn(|| home.does(&["resurrect"]));
        // Time for it to see the app as it is.
        for _ in 0..5 {
            assert_ne!(home.statuses(), [(0, "online".to_owned())]);
        }
        kill_process(guard, Signal::CONT).unwrap();
        resurrect.join().unwrap();
    });
    // One that runs again already is not waited for.
    until_it_is("it is back", || {
        home.statuses() == [(0, "online".to_owned())]
    });
}

#[test]
fn a_path_longer_than_an_address_will_do() {
    let _turn = beside_others();
    let home = Home::at(&format!("{}/{}", "x".repeat(120), "y".repeat(120)));
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    assert_eq!(home.statuses(), [(0, "online".to_owned())]);
    home.does(&["restart", "job"]);
}

#[test]
fn a_home_that_cannot_be_is_named() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let file = home.file("file", "");
    for path in [file.as_path(), std::path::Path::new("/proc/maitred")] {
        let mut command = home.command(&["start", "job.sh"]);
        command.env("MAITRED_HOME", path);
        let said = ended(command);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.errors.contains("MAITRED_HOME"), "{said:?}");
    }
}

/// In the background nobody sees the supervisor; the command says why, and so do the logs.
#[test]
fn a_program_that_cannot_be_executed_is_told_of_with_the_reason() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("bad", "#!/no/such/interpreter\n");
    for restarts in ["0", "5"] {
        let start = [
            "start",
            "./bad",
            "--interpreter",
            "none",
            "--max-restarts",
            restarts,
        ];
        let said = home.fails(&start);
        let reason = "bad-0 could not be started: executing ";
        assert!(said.contains(reason), "{said}");
        assert!(said.contains("first line names"), "{said}");
        let shown = home.does(&["describe", "bad"]);
        assert!(shown.contains("not started: executing"), "{shown}");
        let logs = home.does(&["logs", "bad", "--nostream"]);
        assert!(
            logs.contains("bad|maitred | 20") && logs.contains(": bad-0 could not be started"),
            "{logs}"
        );
        // Programs that read these want the app's own.
        for flags in ["--raw", "--out", "--err"] {
            let logs = home.does(&["logs", "bad", "--nostream", flags]);
            assert!(!logs.contains("could not be started"), "{logs}");
        }
        home.does(&["delete", "bad"]);
    }
}

/// The disk is full: the app goes on, and the logs say what is lost.
#[test]
fn lines_that_cannot_be_written_are_told_of_in_the_logs() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "echo lost; exec sleep 1000\n");
    // It always is, for whoever writes to this.
    let app = r#"{"script": "job.sh", "name": "job", "out_file": "/dev/full"}"#;
    home.file("job.json", app);
    home.does(&["start", "job.json"]);
    let mut command = home.command(&["logs", "job"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = lines
        .map_while(Result::ok)
        .filter(|line| line.contains("job|maitred"));
    let told = told.find(|line| line.contains("dropped")).unwrap();
    assert!(told.contains("/dev/full"), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What is opened in a shell script and held by its commands ends with them: a lock, for instance.
#[test]
fn a_supervisor_holds_nothing_of_whoever_started_it() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let lock = home.file("lock", "");
    let mut shell = Command::new("sh");
    let start = format!("exec 7<{}; exec \"$0\" \"$@\"", lock.display());
    let command = home.command(&["start", "job.sh"]);
    shell.args(["-c", &start]).arg(command.get_program());
    shell.args(command.get_args()).current_dir(home.folder());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    let said = ended(shell);
    assert_eq!(said.code, 0, "{said:?}");
    let processes = home.processes();
    // Guard, supervisor, shell, and what it runs.
    assert_eq!(processes.len(), 4, "{processes:?}");
    for process in processes {
        let open = fs::read_dir(format!("/proc/{}/fd", process.pid)).unwrap();
        let held = open
            .flatten()
            .find(|it| fs::read_link(it.path()).is_ok_and(|to| to == lock));
        assert!(held.is_none(), "{process:?}");
    }
}

#[test]
fn a_supervisor_that_does_not_know_a_request_says_so() {
    use std::io::Write;
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let folder = fs::File::open(home.path().join("apps/job")).unwrap();
    let path = format!(
        "/proc/self/fd/{}/control",
        std::os::fd::AsRawFd::as_raw_fd(&folder)
    );
    for line in ["{\"protocol\":99,\"do\":\"fly\"}\n", "nonsense\n", "\n"] {
        let mut socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
        socket.write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["failed"]["unknown"], true, "{line}");
        assert!(answer["failed"]["version"].is_string());
    }
    home.does(&["restart", "job"]);
}

/// A supervisor that is stopped cannot answer: it is named at once, and holds up no other app.
#[test]
fn a_supervisor_that_is_stopped_is_told_of() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-n", "hangs"]);
    home.does(&["start", "job.sh", "-n", "works"]);
    let supervisor = Pid::from_raw(home.supervisor("hangs")).unwrap();
    kill_process(supervisor, Signal::STOP).unwrap();
    let errors = home.fails(&["stop", "all"]);
    let pid = supervisor.as_raw_nonzero();
    let wanted = [
        "hangs: its supervisor is stopped",
        &format!("`kill -CONT {pid}`"),
    ];
    for wanted in wanted {
        assert!(errors.contains(wanted), "{errors}");
    }
    let unknown = [(0, "unknown".to_owned()), (1, "stopped".to_owned())];
    assert_eq!(home.statuses(), unknown);
    kill_process(supervisor, Signal::CONT).unwrap();
    home.does(&["stop", "all"]);
}

/// What is kept of an app may be damaged while it runs: its supervisor still knows it.
#[test]
fn an_app_whose_record_is_damaged_can_be_stopped() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "-i", "2"]);
    let record = home.path().join("apps/job/app.json");
    fs::write(&record, "{ \"app\": ").unwrap();
    let listed = home.run(&["list"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(
        listed.errors.contains("its supervisor knows it still"),
        "{listed:?}"
    );
    let online = [0, 1].map(|id| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online);
    home.does(&["stop", "1"]);
    let listed = home.run(&["list"]);
    assert_eq!(listed.errors, "");
    fs::write(&record, "").unwrap();
    home.does(&["stop", "job"]);
    let stopped = [0, 1].map(|id| (id, "stopped".to_owned()));
    assert_eq!(home.statuses(), stopped);
    // Nobody knows it any more.
    fs::write(&record, "").unwrap();
    let listed = home.run(&["list"]);
    let hint = format!(
        "to forget it, remove {}",
        record.parent().unwrap().display()
    );
    assert!(listed.errors.contains(&hint), "{listed:?}");
    fs::remove_dir_all(record.parent().unwrap()).unwrap();
    home.does(&["start", "job.sh"]);
}
