//! A home folder for one test: commands run in it, and everything in it ends with it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::place::{is_free, maitred};
use crate::harness::{Door, PATIENCE, Process, free_port, gone_within, path_with_tools};

/// No command may take longer.
const LIMIT: Duration = Duration::from_secs(120);

/// A server that says when it listens, and answers each request with its pid.
pub(crate) const NODE_SERVER: &str = "
require('http').createServer((_, answer) => answer.end(String(process.pid)))
    .listen(process.env.PORT, () => console.log('up'));
";

/// A home folder, and a folder with scripts.
pub(crate) struct Home {
    folder: TempDir,
    path: PathBuf,
    pub(crate) port: u16,
}

/// What a command has said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        // As in a user's own home: hidden, so that watching the scripts does not see it.
        Self::at(".maitred")
    }

    /// One at this path below the test's folder.
    pub(crate) fn at(path: &str) -> Self {
        let prefix = tempfile::Builder::new().prefix("maitred-test-").tempdir();
        let folder = prefix.unwrap();
        let path = folder.path().join(path);
        Self {
            path,
            folder,
            port: free_port(),
        }
    }

    /// Where maitred keeps its files.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the scripts are, and commands run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A log that maitred keeps of an app.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(name)
    }

    /// A command to be run here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(maitred());
        command
            .args(args)
            .current_dir(self.folder())
            .env("MAITRED_HOME", &self.path)
            .env("PATH", path_with_tools())
            .env("PORT", self.port.to_string())
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        ended(self.command(args))
    }

    /// Runs a command that has to succeed; its output.
    pub(crate) fn does(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.output
    }

    /// Runs a command that has to fail with code 1; what it says.
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 1, "{args:?}: {ended:?}");
        ended.errors
    }

    /// All instances, as `jlist` has them.
    pub(crate) fn instances(&self) -> Vec<Value> {
        serde_json::from_str(&self.does(&["jlist"])).unwrap()
    }

    /// The statuses of all instances, by their numbers.
    pub(crate) fn statuses(&self) -> Vec<(u64, String)> {
        let status = |it: &Value| {
            let status = it["pm2_env"]["status"].as_str().unwrap().to_owned();
            (it["pm_id"].as_u64().unwrap(), status)
        };
        self.instances().iter().map(status).collect()
    }

    /// The pids of all instances.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let pid = |it: &Value| i32::try_from(it["pid"].as_i64().unwrap()).unwrap();
        self.instances().iter().map(pid).collect()
    }

    /// Everything that an app has written, and what it writes from now on.
    pub(crate) fn follow(&self, app: &str) -> Lines {
        let mut command = self.command(&["logs", app, "--raw", "--lines", "10000"]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines { child, lines }
    }

    /// Waits until so many processes of an app have said that they are up. A start waits for that,
    /// too, but on a machine that stalls not long enough.
    pub(crate) fn is_up(&self, app: &str, times: usize) {
        let lines = self.follow(app);
        for _ in 0..times {
            while lines.next() != "up" {}
        }
    }

    /// The process that supervises an app.
    pub(crate) fn supervisor(&self, name: &str) -> i32 {
        let instances = self.instances();
        let app = instances.iter().find(|it| it["name"] == name).unwrap();
        let pid = app["pm2_env"]["supervisor_pid"].as_i64().unwrap();
        i32::try_from(pid).unwrap()
    }

    /// Ends an app as a machine does that runs out of memory at the worst moment: its guard is killed,
    /// and with it all that is left. Waits until nothing of the app is.
    pub(crate) fn crash(&self, name: &str) {
        let supervisor = self.supervisor(name);
        let guard = parent_of(supervisor);
        let of_app = |process: &Process| {
            let mut pid = process.pid;
            while pid > 1 && pid != guard {
                pid = parent_of(pid);
            }
            pid == guard
        };
        let mut all = self.processes();
        all.retain(of_app);
        kill_process(Pid::from_raw(guard).unwrap(), Signal::KILL).unwrap();
        assert_eq!(gone_within(PATIENCE, &all), []);
    }

    /// The app's port, on IPv4's own address.
    pub(crate) fn door(&self) -> Door {
        Door::Tcp(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    pub(crate) fn port_is_free(&self) -> bool {
        is_free(self.port)
    }

    /// Every process of this home: supervisors, guards, and what descends from them.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let entry = format!("MAITRED_HOME={}", self.path.display());
        let mut found = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else {
                continue;
            };
            let environment = fs::read(process.path().join("environ")).unwrap_or_default();
            if environment
                .split(|byte| *byte == 0)
                .any(|line| line == entry.as_bytes())
            {
                found.extend(Process::find(pid));
            }
        }
        found
    }
}

/// The parent of a process; 0 of one that is gone.
pub(crate) fn parent_of(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().nth(1));
    parent.flatten().map_or(0, |pid| pid.parse().unwrap())
}

impl Drop for Home {
    fn drop(&mut self) {
        let ended = self.run(&["kill"]);
        let left = gone_within(PATIENCE, &self.processes());
        for process in &left {
            let _ = kill_process(Pid::from_raw(process.pid).unwrap(), Signal::KILL);
        }
        if !thread::panicking() {
            assert_eq!(ended.code, 0, "{ended:?}");
            assert_eq!(left, [], "left behind");
        }
    }
}

/// The lines of a log, as they come.
pub(crate) struct Lines {
    child: Child,
    lines: Receiver<String>,
}

impl Lines {
    /// The next line.
    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, within the limit.
pub(crate) fn ended(mut command: Command) -> Ended {
    let spawned = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap();
    let output = gathered(child.stdout.take().unwrap());
    let errors = gathered(child.stderr.take().unwrap());
    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    let limit = Timespec::try_from(LIMIT).unwrap();
    if poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)).unwrap() == 0 {
        let _ = child.kill();
        panic!("{command:?} takes too long");
    }
    let status = child.wait().unwrap();
    let errors = errors.join().unwrap().unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    Ended {
        code: status.code().unwrap_or(-1),
        output: output.join().unwrap().unwrap(),
        errors,
    }
}

fn gathered(mut from: impl Read + Send + 'static) -> thread::JoinHandle<std::io::Result<String>> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).map(|_| text)
    })
}
