//! Every command in every state of an app: it comes to an end, and says what is so.

use std::io::Write;
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Door, PATIENCE, beside_others, gone_within};
use crate::home::Home;

/// An app in some state.
struct State {
    /// Its status in the list.
    is: &'static str,
    /// What a start of it answers, and its status then.
    started: (i32, &'static str),
    /// Whether a process of it hears signals, and whether one reads lines.
    hears: bool,
    reads: bool,
    make: fn(&Home) -> Making,
}

/// What has brought an app into its state, and is still under way.
#[derive(Default)]
struct Making {
    stop: Option<Child>,
    _client: Option<TcpStream>,
}

const ONLINE: State = State {
    is: "online",
    started: (0, "online"),
    hears: true,
    reads: true,
    make: |home| {
        home.file("job.sh", "exec sleep 1000\n");
        home.does(&["start", "job.sh"]);
        Making::default()
    },
};

/// It has ended, and its schedule starts it again.
const IDLE: State = State {
    is: "stopped",
    started: (0, "stopped"),
    hears: false,
    reads: false,
    make: |home| {
        home.file("job.sh", "exit 0\n");
        // Not while this is tested.
        let cron = next_year();
        home.does(&["start", "job.sh", "--no-autorestart", "--cron", &cron]);
        becomes(home, "stopped");
        Making::default()
    },
};

const IDLE_WATCHED: State = State {
    make: |home| {
        home.file("job.sh", "exit 0\n");
        home.does(&["start", "job.sh", "--no-autorestart", "--watch"]);
        becomes(home, "stopped");
        Making::default()
    },
    ..IDLE
};

const ERRORED: State = State {
    is: "errored",
    started: (1, "errored"),
    hears: false,
    reads: false,
    make: |home| {
        home.file("job.sh", "exit 1\n");
        home.fails(&["start", "job.sh", "--max-restarts", "0", "--wait-ready"]);
        becomes(home, "errored");
        Making::default()
    },
};

const ERRORED_WATCHED: State = State {
    make: |home| {
        home.file("job.sh", "exit 1\n");
        let flags = ["--max-restarts", "0", "--wait-ready", "--watch"];
        home.fails(&[&["start", "job.sh"], &flags[..]].concat());
        becomes(home, "errored");
        Making::default()
    },
    ..ERRORED
};

const WAITING: State = State {
    is: "waiting restart",
    started: (1, "waiting restart"),
    hears: false,
    reads: false,
    make: |home| {
        home.file("job.sh", "exit 1\n");
        let flags = ["--restart-delay", "1h", "--wait-ready"];
        home.fails(&[&["start", "job.sh"], &flags[..]].concat());
        becomes(home, "waiting restart");
        Making::default()
    },
};

/// It never says that it is ready.
const LAUNCHING: State = State {
    is: "launching",
    started: (1, "launching"),
    hears: true,
    reads: true,
    make: |home| {
        home.file("job.sh", "exec sleep 1000\n");
        let flags = ["--wait-ready", "--listen-timeout", "500"];
        home.does(&[&["start", "job.sh"], &flags[..]].concat());
        Making::default()
    },
};

/// A stop is under way, and waits for the process.
const STOPPING: State = State {
    is: "stopping",
    started: (0, "online"),
    hears: true,
    reads: false,
    make: |home| {
        home.file("job.sh", "trap '' INT; echo up; sleep 1000\n");
        home.does(&["start", "job.sh", "-k", "2000"]);
        home.is_up("job", 1);
        stopping(home, None)
    },
};

/// The same with a request that is still answered.
const DRAINING: State = State {
    make: |home| {
        let server = "require('http').createServer(() => console.log('got'))
            .listen(process.env.PORT, () => console.log('up'));";
        home.file("job.js", server);
        let flags = ["-i", "1", "--per", "request", "--drain-timeout", "2000"];
        home.does(&[&["start", "job.js"], &flags[..]].concat());
        let lines = home.follow("job");
        let Door::Tcp(address) = home.door() else {
            panic!("not a TCP app");
        };
        while lines.next() != "up" {}
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        while lines.next() != "got" {}
        stopping(home, Some(client))
    },
    ..STOPPING
};

const STOPPED: State = State {
    is: "stopped",
    started: (0, "online"),
    hears: false,
    reads: false,
    make: |home| {
        let made = (ONLINE.make)(home);
        home.does(&["stop", "job"]);
        made
    },
};

const CRASHED: State = State {
    is: "crashed",
    make: |home| {
        let made = (ONLINE.make)(home);
        home.crash("job");
        made
    },
    ..STOPPED
};

/// Its schedule was to start it, and its guard was killed.
const IDLE_CRASHED: State = State {
    is: "crashed",
    make: |home| {
        let made = (IDLE.make)(home);
        home.crash("job");
        made
    },
    ..IDLE
};

/// Its supervisor says nothing.
const HUNG: State = State {
    is: "unknown",
    started: (1, "unknown"),
    hears: false,
    reads: false,
    make: |home| {
        let made = (ONLINE.make)(home);
        send(home.supervisor("job"), Signal::STOP);
        made
    },
};

/// A moment that is months away: the first of a month that is not this one, nor the next.
fn next_year() -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let month = now.as_secs() / (365 * 24 * 3600 / 12) % 12;
    format!("0 0 1 {} *", (month + 6) % 12 + 1)
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

/// Waits until the status of all is so.
fn becomes(home: &Home, status: &str) {
    while home.statuses().iter().any(|(_, is)| is != status) {}
}

fn stopping(home: &Home, client: Option<TcpStream>) -> Making {
    let mut stop = home.command(&["stop", "job"]);
    let stop = stop.stdout(Stdio::null()).stderr(Stdio::null());
    let stop = stop.spawn().unwrap();
    becomes(home, "stopping");
    Making {
        stop: Some(stop),
        _client: client,
    }
}

impl State {
    /// Runs a command on an app in this state: what it answers, what it says, and the statuses when
    /// everything has come to an end.
    fn after(&self, command: &[&str]) -> (i32, String, Vec<String>) {
        let home = Home::new();
        let mut made = (self.make)(&home);
        let all = home.processes();
        let said = home.run(command);
        if let Some(stop) = &mut made.stop {
            stop.wait().unwrap();
        }
        let statuses: Vec<_> = home.statuses().into_iter().map(|(_, it)| it).collect();
        let over = statuses.iter().all(|it| it == "stopped") && self.is != "unknown";
        if over && matches!(command[0], "stop" | "delete" | "kill") {
            assert_eq!(gone_within(PATIENCE, &all), [], "{command:?}");
        }
        (said.code, said.errors, statuses)
    }

    fn check(&self, command: &[&str], code: i32, statuses: &[&str]) {
        let (answered, said, are) = self.after(command);
        assert_eq!(
            (answered, are.iter().map(String::as_str).collect::<Vec<_>>()),
            (code, statuses.to_vec()),
            "{command:?} of an app that is {}: {said}",
            self.is
        );
        if code != 0 {
            assert!(said.contains("job"), "{command:?}: {said}");
        }
    }

    /// All commands that do something.
    fn check_all(&self) {
        let _turn = beside_others();
        let hung = self.is == "unknown";
        let unless_hung = |code, status| if hung { (1, self.is) } else { (code, status) };
        let (code, status) = unless_hung(0, "stopped");
        self.check(&["stop", "job"], code, &[status]);
        let (code, status) = self.started;
        for command in ["start", "restart", "reload"] {
            self.check(&[command, "job"], code, &[status]);
        }
        // One more; what was asked to end ends, and what crashed with its supervisor runs again.
        let other = match self.is {
            "stopping" => "stopped",
            "crashed" if self.started.1 == "online" => "online",
            "crashed" => self.started.1,
            is => is,
        };
        let both = [other, status];
        self.check(
            &["scale", "job", "2"],
            code,
            if hung { &both[..1] } else { &both },
        );
        let left = [self.is];
        let left = if hung { &left[..] } else { &[] };
        self.check(&["delete", "job"], i32::from(hung), left);
        self.check(&["kill"], 0, &[]);
        let is = match self.is {
            "stopping" => "stopped",
            is => is,
        };
        self.check(&["reset", "job"], i32::from(hung), &[is]);
        self.check(
            &["sendSignal", "SIGWINCH", "job"],
            i32::from(!self.hears),
            &[is],
        );
        self.check(&["send", "0", "line"], i32::from(!self.reads), &[is]);
        self.check_reading(is);
    }

    /// Commands that only look, or concern what is kept: one app will do for all.
    fn check_reading(&self, is: &str) {
        let home = Home::new();
        let mut made = (self.make)(&home);
        for command in [
            &["ls"][..],
            &["describe", "job"],
            &["prettylist"],
            &["pid", "job"],
            &["id", "job"],
            &["env", "0"],
            &["logs", "job", "--nostream"],
            &["flush", "job"],
            &["save"],
        ] {
            home.does(command);
        }
        for command in ["reloadLogs", "ping"] {
            let said = home.run(&[command]);
            assert_eq!(said.code, i32::from(self.is == "unknown"), "{said:?}");
        }
        if let Some(stop) = &mut made.stop {
            stop.wait().unwrap();
        }
        assert_eq!(home.statuses(), [(0, is.to_owned())]);
    }
}

#[test]
fn online() {
    ONLINE.check_all();
}

#[test]
fn idle_until_its_schedule() {
    IDLE.check_all();
}

#[test]
fn idle_until_a_file_changes() {
    IDLE_WATCHED.check_all();
}

#[test]
fn errored() {
    ERRORED.check_all();
}

#[test]
fn errored_until_a_file_changes() {
    ERRORED_WATCHED.check_all();
}

#[test]
fn waiting_for_its_restart() {
    WAITING.check_all();
}

#[test]
fn never_ready() {
    LAUNCHING.check_all();
}

#[test]
fn being_stopped() {
    STOPPING.check_all();
}

#[test]
fn answering_its_last_request() {
    DRAINING.check_all();
}

#[test]
fn stopped() {
    STOPPED.check_all();
}

#[test]
fn crashed_with_its_supervisor() {
    CRASHED.check_all();
}

#[test]
fn crashed_while_it_was_idle() {
    IDLE_CRASHED.check_all();
}

#[test]
fn with_a_supervisor_that_hangs() {
    HUNG.check_all();
}
