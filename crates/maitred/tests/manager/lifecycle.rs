//! Start, stop, restart, scale and delete.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::time::Instant;

use crate::harness::{Door, PATIENCE, Process, Request, beside_others, gone_within, repository};
use crate::home::{Home, NODE_SERVER};

#[test]
fn bun_workers_share_their_port() {
    let _turn = beside_others();
    let home = Home::new();
    let script = repository().join("examples/bun-serve/server.ts");
    let script = script.to_str().unwrap();
    home.does(&["start", script, "-i", "3", "--name", "api"]);
    let online = [0, 1, 2].map(|id| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online);
    // Listening was waited for, as long as a start waits: a second.
    opens(&home);
    let mut seen = BTreeSet::new();
    while seen.len() < 3 {
        seen.insert(Request::get(&home.door(), "/api?ms=0").unwrap().worker());
    }
    home.does(&["stop", "api"]);
    assert!(home.port_is_free());
    assert_eq!(gone_within(PATIENCE, &home.processes()), []);
    let stopped = [0, 1, 2].map(|id| (id, "stopped".to_owned()));
    assert_eq!(home.statuses(), stopped);
    home.does(&["start", "api"]);
    assert_eq!(home.statuses(), online);
    opens(&home);
    Request::get(&home.door(), "/api?ms=0").unwrap();
}

/// Waits until the app's port is open.
fn opens(home: &Home) {
    let Door::Tcp(address) = home.door() else {
        panic!("not a TCP app");
    };
    let deadline = Instant::now() + PATIENCE;
    // Nothing tells when, so this has to try again and again.
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nobody listens");
        std::thread::yield_now();
    }
}

#[test]
fn a_single_instance_has_its_socket_to_itself() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js"]);
    let instances = home.instances();
    assert_eq!(instances[0]["pm2_env"]["exec_mode"], "fork_mode");
    let first = home.pids();
    home.does(&["restart", "server"]);
    let second = home.pids();
    assert_ne!(first, second);
    assert!(Process::find(first[0]).is_none());
    assert_eq!(home.instances()[0]["pm2_env"]["restart_time"], 1);
    home.does(&["reset", "server"]);
    assert_eq!(home.instances()[0]["pm2_env"]["restart_time"], 0);
    assert_eq!(home.pids(), second);
}

#[test]
fn scaling_adds_and_removes_the_last() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-i", "2"]);
    let before = home.pids();
    home.does(&["scale", "server", "+2"]);
    let online = |ids: &[u64]| ids.iter().map(|id| (*id, "online".to_owned())).collect();
    let expected: Vec<_> = online(&[0, 1, 2, 3]);
    assert_eq!(home.statuses(), expected);
    assert_eq!(home.pids()[..2], before);
    home.does(&["scale", "server", "1"]);
    let expected: Vec<_> = online(&[0]);
    assert_eq!(home.statuses(), expected);
    assert_eq!(home.pids()[..], before[..1]);
    // The numbers of those that are gone are not given out again.
    home.does(&["scale", "server", "+1"]);
    let expected: Vec<_> = online(&[0, 4]);
    assert_eq!(home.statuses(), expected);
    home.fails(&["scale", "server", "2"]);
    home.fails(&["scale", "server", "0"]);
}

#[test]
fn numbers_begin_anew_when_nothing_is_left() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.does(&["start", "job.sh", "--name", "a"]);
    home.does(&["start", "job.sh", "--name", "b"]);
    home.does(&["delete", "a"]);
    home.does(&["start", "job.sh", "--name", "c"]);
    let ids: Vec<_> = home.statuses().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 2]);
    home.does(&["del", "all"]);
    assert_eq!(home.statuses(), []);
    home.does(&["start", "job.sh"]);
    assert_eq!(home.statuses()[0].0, 0);
}

#[test]
fn what_runs_already_is_not_started_again() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    home.file("other.sh", "sleep 1000\n");
    home.does(&["start", "job.sh"]);
    let first = home.pids();
    assert!(home.fails(&["start", "job.sh"]).contains("-f"));
    assert_eq!(home.pids(), first);
    home.does(&["start", "job.sh", "-f"]);
    assert_ne!(home.pids(), first);
    assert!(
        home.fails(&["start", "other.sh", "--name", "job"])
            .contains("--name")
    );
    home.fails(&["start", "missing.js"]);
    home.fails(&["no-such-command"]);
    assert_eq!(home.statuses().len(), 1);
}

#[test]
fn a_new_environment_takes_effect_when_it_is_asked_for() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let with = |args: &[&str], name: &str| {
        let mut command = home.command(args);
        command.env(name, "yes");
        assert_eq!(crate::home::ended(command).code, 0, "{args:?}");
    };
    let has = |name: &str| {
        let environment = fs::read(format!("/proc/{}/environ", home.pids()[0])).unwrap();
        String::from_utf8_lossy(&environment).contains(&format!("\0{name}=yes\0"))
    };
    with(&["start", "job.sh"], "T_ONE");
    assert!(has("T_ONE"));
    with(&["restart", "job"], "T_TWO");
    assert!(has("T_ONE") && !has("T_TWO"));
    with(&["restart", "job", "--update-env"], "T_TWO");
    assert!(has("T_TWO") && !has("T_ONE"));
}

/// A deploy from elsewhere, by cron or ssh, has another environment: it does not become the app's.
#[test]
fn the_environment_stays_when_a_file_is_read_again() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.sh", "sleep 1000\n");
    let has = |entry: &str| {
        let environment = fs::read(format!("/proc/{}/environ", home.pids()[0])).unwrap();
        format!("\0{}", String::from_utf8_lossy(&environment)).contains(&format!("\0{entry}\0"))
    };
    let with = |args: &[&str], value: Option<&str>| {
        let mut command = home.command(args);
        command.env_remove("T_CALLER");
        command.envs(value.map(|value| ("T_CALLER", value)));
        assert_eq!(crate::home::ended(command).code, 0, "{args:?}");
    };
    let file = |own: &str| {
        let text = format!(r#"[{{"name": "a", "script": "job.sh", "env": {{{own}}}}}]"#);
        home.file("apps.json", &text);
    };
    file(r#""T_OWN": "1", "T_GONE": "1""#);
    with(&["start", "apps.json"], Some("first"));
    assert!(has("T_CALLER=first") && has("T_OWN=1") && has("T_GONE=1"));
    file(r#""T_OWN": "2""#);
    with(&["restart", "apps.json"], None);
    assert!(has("T_CALLER=first") && has("T_OWN=2") && !has("T_GONE=1"));
    with(&["reload", "apps.json"], Some("other"));
    assert!(has("T_CALLER=first"));
    with(&["restart", "apps.json", "--update-env"], Some("other"));
    assert!(has("T_CALLER=other") && has("T_OWN=2"));
}

#[test]
fn the_whole_tree_ends_with_its_instance() {
    let _turn = beside_others();
    let home = Home::new();
    let noted = home.folder().join("child");
    let text = format!(
        "setsid sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; sleep 1000 & wait\n",
        noted.display()
    );
    home.file("tree.sh", &text);
    home.does(&["start", "tree.sh", "-i", "1"]);
    home.file("other.sh", "sleep 1000\n");
    home.does(&["start", "other.sh"]);
    let child = appears(&noted).trim().parse().unwrap();
    let child = Process::find(child).unwrap();
    home.does(&["restart", "tree"]);
    assert_eq!(gone_within(PATIENCE, &[child]), []);
    home.does(&["stop", "tree"]);
    let left = home.processes();
    let sleeps = left
        .iter()
        .filter(|it| it.command.starts_with("sleep"))
        .count();
    assert_eq!(sleeps, 1, "{left:#?}");
}

/// Detached from its group, and a child of that one too, which the instance knows nothing of.
#[test]
fn the_whole_tree_ends_with_an_instance_that_crashes() {
    let _turn = beside_others();
    let home = Home::new();
    let noted = home.folder().join("children");
    // The grandchild notes itself, and ignores what asks it politely.
    home.file(
        "grandchild.sh",
        "trap '' TERM; echo $$ > grandchild; exec sleep 1000\n",
    );
    let text = format!(
        "if [ -e {0} ]; then exec sleep 1000; fi\n\
         setsid sh -c 'setsid sh grandchild.sh & wait' &\n\
         child=$!\n\
         while [ ! -s grandchild ]; do :; done\n\
         echo $child $(cat grandchild) > {0}.new; mv {0}.new {0}\n\
         exit 3\n",
        noted.display()
    );
    home.file("crash.sh", &text);
    home.run(&["start", "crash.sh", "--kill-timeout", "100"]);
    let pids = appears(&noted);
    let left: Vec<_> = pids
        .split_whitespace()
        .filter_map(|pid| Process::find(pid.parse().unwrap()))
        .collect();
    assert_eq!(gone_within(PATIENCE, &left), []);
    home.does(&["stop", "crash"]);
}

/// With treekill off an instance's children are left alone, until the app ends.
#[test]
fn without_treekill_the_children_of_an_instance_stay() {
    let _turn = beside_others();
    let home = Home::new();
    let text = "if [ -e child ]; then exec sleep 1000; fi\n\
                sleep 1000 & echo $! > child.new; mv child.new child; exit 3\n";
    home.file("crash.sh", text);
    home.run(&["start", "crash.sh", "--no-treekill"]);
    let child = appears(&home.folder().join("child"))
        .trim()
        .parse()
        .unwrap();
    home.does(&["restart", "crash"]);
    let child = Process::find(child).unwrap();
    home.does(&["stop", "crash"]);
    assert_eq!(gone_within(PATIENCE, &[child]), []);
}

#[test]
fn signals_and_lines_reach_the_process() {
    let _turn = beside_others();
    let home = Home::new();
    let script = "import signal, sys\n\
                  signal.signal(signal.SIGUSR2, lambda *_: open('signal', 'w').close())\n\
                  open('ready', 'w').close()\n\
                  for line in sys.stdin:\n    \
                      open('line.new', 'w').write(line)\n    \
                      import os; os.rename('line.new', 'line')\n";
    home.file("talk.py", script);
    home.does(&["start", "talk.py", "--cwd", home.folder().to_str().unwrap()]);
    appears(&home.folder().join("ready"));
    home.does(&["sendSignal", "SIGUSR2", "talk"]);
    home.does(&["send", "0", "hello there"]);
    assert_eq!(appears(&home.folder().join("line")), "hello there\n");
    appears(&home.folder().join("signal"));
    home.fails(&["sendSignal", "SIGNONE", "talk"]);
    home.does(&["stop", "talk"]);
    home.fails(&["send", "0", "hello"]);
}

/// A shell lets what it starts in the background ignore SIGINT, with which workers are asked to end.
#[test]
fn who_starts_an_app_may_ignore_what_stops_it() {
    let _turn = beside_others();
    let home = Home::new();
    let script = "import time\n\
                  try:\n    \
                      open('ready', 'w').close(); time.sleep(1000)\n\
                  except KeyboardInterrupt:\n    \
                      open('goodbye', 'w').close()\n";
    home.file("job.py", script);
    let start = home.command(&["start", "job.py", "-k", "30000"]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]);
    shell.arg(start.get_program()).args(start.get_args());
    shell.current_dir(home.folder());
    let environment = start
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    shell.envs(environment);
    assert_eq!(crate::home::ended(shell).code, 0);
    appears(&home.folder().join("ready"));
    home.does(&["stop", "job"]);
    assert!(home.folder().join("goodbye").exists());
}

/// Waits until a file is there; its text.
fn appears(path: &std::path::Path) -> String {
    use rustix::fs::inotify;
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let events = inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, path.parent().unwrap(), events).unwrap();
    let limit = rustix::event::Timespec {
        tv_sec: 30,
        tv_nsec: 0,
    };
    loop {
        if let Ok(text) = fs::read_to_string(path) {
            return text;
        }
        let mut fds = [rustix::event::PollFd::new(
            &watch,
            rustix::event::PollFlags::IN,
        )];
        let came = rustix::event::poll(&mut fds, Some(&limit)).unwrap();
        assert_eq!(came, 1, "{} does not appear", path.display());
        let mut notices = [0; 4096];
        rustix::io::read(&watch, &mut notices).unwrap();
    }
}

#[test]
fn without_treekill_the_first_process_alone_is_asked_and_all_end() {
    let _turn = beside_others();
    let home = Home::new();
    let asked = home.folder().join("asked");
    home.file(
        "main.js",
        "const child = require('child_process').spawn('node', ['child.js']);
        child.stdout.once('data', () => process.send('ready'));
        process.on('SIGINT', () => {
            require('fs').appendFileSync('asked', 'first ');
            // A child that was asked too has its turn.
            child.on('exit', () => process.exit());
            setTimeout(() => process.exit(), process.env.WAIT);
        });",
    );
    home.file(
        "child.js",
        "process.on('SIGINT', () => {
            require('fs').appendFileSync('asked', 'child ');
            process.exit();
        });
        setInterval(() => {}, 1000);
        console.log('up');",
    );
    for (flags, wait, expected) in [
        (&["--no-treekill"][..], "0", &["first"][..]),
        (&[], "30000", &["child", "first"]),
    ] {
        let line = [&["start", "main.js", "--wait-ready", "-k", "30000"], flags].concat();
        let mut command = home.command(&line);
        command.env("WAIT", wait);
        let started = crate::home::ended(command);
        assert_eq!(started.code, 0, "{started:?}");
        let processes = home.processes();
        home.does(&["delete", "main"]);
        assert_eq!(gone_within(PATIENCE, &processes), []);
        let text = fs::read_to_string(&asked).unwrap();
        let heard: BTreeSet<_> = text.split_whitespace().collect();
        assert_eq!(heard.into_iter().collect::<Vec<_>>(), expected, "{flags:?}");
        fs::remove_file(&asked).unwrap();
    }
}
