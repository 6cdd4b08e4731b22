//! One maitred under test: how it is started, what it says, and that it leaves nothing behind.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use super::events::{Event, Events};
use super::http::{Door, PATIENCE};
use super::place;
use super::processes::{self, Process};

/// A maitred to be started: `[before] maitred run [options] script [-- arguments]`.
pub(crate) struct Setup {
    folder: TempDir,
    port: u16,
    before: Vec<OsString>,
    options: Vec<OsString>,
    script: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    limit: Duration,
    stdin: Stdio,
    terminal: Option<OwnedFd>,
}

impl Setup {
    /// One of the examples, as a path below examples/.
    pub(crate) fn example(path: &str) -> Setup {
        let script = place::repository().join("examples").join(path);
        assert!(script.is_file(), "no example {}", script.display());
        Setup::script(script)
    }

    /// A program that the test brings. Its name's ending decides who runs it; one without an
    /// ending is executed.
    pub(crate) fn program(name: &str, text: &str) -> Setup {
        let mut setup = Setup::script("");
        setup.script = setup.file(name, text);
        setup
    }

    pub(crate) fn script(script: impl Into<PathBuf>) -> Setup {
        Setup {
            folder: tempfile::Builder::new()
                .prefix("maitred-test-")
                .tempdir()
                .unwrap(),
            port: place::free_port(),
            before: Vec::new(),
            options: Vec::new(),
            script: script.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            limit: Duration::from_secs(60),
            stdin: Stdio::null(),
            terminal: None,
        }
    }

    /// The folder of this test; it goes when the run goes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The port that the app is asked to listen on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// For a program that is built in the test's folder.
    pub(crate) fn set_script(&mut self, script: &Path) {
        self.script = script.to_owned();
    }

    /// Writes a file into the test's folder, executable as shell scripts are.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(crate) fn instances(self, number: usize) -> Setup {
        self.option("-i", number.to_string())
    }

    pub(crate) fn option(mut self, name: &str, value: impl AsRef<OsStr>) -> Setup {
        self.options.push(name.into());
        self.options.push(value.as_ref().into());
        self
    }

    pub(crate) fn flag(mut self, name: &str) -> Setup {
        self.options.push(name.into());
        self
    }

    pub(crate) fn argument(mut self, value: impl AsRef<OsStr>) -> Setup {
        self.arguments.push(value.as_ref().into());
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Setup {
        self.environment.push((name.into(), value.as_ref().into()));
        self
    }

    /// A command that in its turn runs maitred, as `nice` would.
    pub(crate) fn before<S: AsRef<OsStr>>(mut self, command: impl IntoIterator<Item = S>) -> Setup {
        self.before = command
            .into_iter()
            .map(|word| word.as_ref().into())
            .collect();
        self
    }

    pub(crate) fn stdin(mut self, stdin: impl Into<Stdio>) -> Setup {
        self.stdin = stdin.into();
        self
    }

    /// Starts maitred on a terminal of its own, as a shell would. What appears there is its
    /// standard output; [`Run::type_in`] is the keyboard.
    pub(crate) fn terminal(mut self) -> Setup {
        let keyboard =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        self.terminal = Some(keyboard);
        // The new session takes the terminal on its standard input as its own.
        self.before(["setsid", "--ctty", "--wait"])
    }

    /// How long the whole test may take, 60 seconds unless told.
    pub(crate) fn limit(mut self, seconds: u64) -> Setup {
        self.limit = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn start(self) -> Run {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let mark = format!("MAITRED_TEST_MARK={}-{number}", std::process::id());
        let (mark_name, mark_value) = mark.split_once('=').unwrap();

        let events_path = self.folder().join("events");
        let events = Events::follow(&events_path);

        let mut words = self.before;
        words.push(place::maitred().into());
        words.push("run".into());
        words.extend(["--events".into(), events_path.into()]);
        words.extend(self.options);
        words.push(self.script.into());
        if !self.arguments.is_empty() {
            words.push("--".into());
            words.extend(self.arguments);
        }

        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env("PATH", place::path_with_tools())
            .env("PORT", self.port.to_string())
            .env("MAITRED_HOME", self.folder.path().join("home"))
            .env("EXAMPLES", place::repository().join("examples"))
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env(mark_name, mark_value)
            .envs(self.environment);
        match &self.terminal {
            None => command
                .stdin(self.stdin)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
            Some(keyboard) => {
                let screen = File::options()
                    .read(true)
                    .write(true)
                    .open(screen_of(keyboard))
                    .unwrap();
                let [input, output, errors] = [0; 3].map(|_| screen.try_clone().unwrap());
                command.stdin(input).stdout(output).stderr(errors)
            }
        };
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => panic!("starting {words:?}: {error}"),
        };
        // The command holds copies of the terminal, which would keep it open for ever.
        drop(command);
        let (stdout, stderr) = match &self.terminal {
            None => (
                Output::capture(child.stdout.take().unwrap()),
                Output::capture(child.stderr.take().unwrap()),
            ),
            Some(keyboard) => {
                let screen = File::from(keyboard.try_clone().unwrap());
                (Output::capture(screen), Output::capture(io::empty()))
            }
        };
        Run {
            port: self.port,
            deadline: Instant::now() + self.limit,
            handle: pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap(),
            stdout,
            stderr,
            keyboard: self.terminal,
            _folder: self.folder,
            child,
            events,
            mark,
            ended: None,
        }
    }
}

pub(crate) struct Run {
    pub(crate) port: u16,
    pub(crate) deadline: Instant,
    /// Goes when the run goes.
    _folder: TempDir,
    child: Child,
    handle: OwnedFd,
    events: Events,
    stdout: Output,
    stderr: Output,
    keyboard: Option<OwnedFd>,
    mark: String,
    ended: Option<ExitStatus>,
}

impl Run {
    /// The process that the test started: maitred's guard.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child
            .stdin
            .take()
            .expect("started with a pipe as input")
    }

    /// Types on the terminal that maitred runs on.
    pub(crate) fn type_in(&self, keys: &[u8]) {
        let keyboard = self.keyboard.as_ref().expect("started on a terminal");
        assert_eq!(rustix::io::write(keyboard, keys).unwrap(), keys.len());
    }

    /// The app's port, on IPv4's own address.
    pub(crate) fn door(&self) -> Door {
        Door::Tcp(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    /// Waits for an event, or finds it among those that came already.
    pub(crate) fn event(&mut self, what: &str, matches: impl Fn(&Event) -> bool) -> Event {
        self.event_from(0, what, matches)
    }

    /// Waits for an event that came after `earlier`.
    pub(crate) fn event_after(
        &mut self,
        earlier: &Event,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        self.event_from(earlier.index + 1, what, matches)
    }

    fn event_from(
        &mut self,
        mut next: usize,
        what: &str,
        matches: impl Fn(&Event) -> bool,
    ) -> Event {
        loop {
            // Asked before the events are read: what an ended maitred has written is all there is.
            let ended = self.has_ended();
            self.events.read();
            while let Some(event) = self.events.seen.get(next) {
                if matches(event) {
                    return event.clone();
                }
                next += 1;
            }
            if ended {
                panic!("maitred ended before {what}\n{}", self.story());
            }
            if self
                .events
                .wait(self.handle.as_fd(), self.deadline)
                .is_none()
            {
                panic!("timeout waiting for {what}\n{}", self.story());
            }
        }
    }

    /// All events until now.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.events.read();
        self.events.seen.clone()
    }

    /// For tests in which none should. One that crashes is replaced so soon that it might not
    /// show otherwise.
    pub(crate) fn no_worker_has_ended(&mut self) {
        let ended = self.events().iter().any(|event| event.is("exited"));
        assert!(!ended, "a worker has ended\n{}", self.story());
    }

    /// Waits until `members` processes listen on the app's port.
    pub(crate) fn listening(&mut self, members: u64) -> Event {
        let port = self.port;
        self.listening_on(&format!(":{port}"), members)
    }

    /// Waits until `members` processes listen on the address with this ending.
    pub(crate) fn listening_on(&mut self, address: &str, members: u64) -> Event {
        self.event(
            &format!("{members} processes listening on {address}"),
            |event| {
                event.is("listening")
                    && event.text("address").ends_with(address)
                    && event.number("members") == members
            },
        )
    }

    /// Waits until an instance has started, and gives its process.
    pub(crate) fn started(&mut self, instance: u64) -> Process {
        let event = self.event(&format!("start of instance {instance}"), |event| {
            event.is("started") && event.instance() == instance
        });
        match Process::find(event.pid()) {
            Some(process) => process,
            None => panic!("instance {instance} is gone already\n{}", self.story()),
        }
    }

    /// Waits until what maitred has printed on standard output satisfies `enough`.
    pub(crate) fn output(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        self.stdout.wait(self.deadline, enough).unwrap_or_else(|| {
            panic!(
                "timeout waiting for {what} on standard output\n{}",
                self.story()
            )
        })
    }

    /// The same for standard error.
    pub(crate) fn errors(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        self.stderr.wait(self.deadline, enough).unwrap_or_else(|| {
            panic!(
                "timeout waiting for {what} on standard error\n{}",
                self.story()
            )
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of maitred, and of all that it has printed.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        while !self.has_ended() {
            if self
                .events
                .wait(self.handle.as_fd(), self.deadline)
                .is_none()
            {
                panic!("timeout waiting for the end of maitred\n{}", self.story());
            }
        }
        let status = self.child.wait().unwrap();
        self.ended = Some(status);
        self.events.read();
        status
    }

    /// The exit code, for a maitred that ends by itself and not by a signal.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.wait();
        match status.code() {
            Some(code) => code,
            None => panic!("maitred ended by a signal: {status}\n{}", self.story()),
        }
    }

    /// All of standard output and of standard error, as bytes, after the end.
    pub(crate) fn everything_printed(&mut self) -> (Vec<u8>, Vec<u8>) {
        self.wait();
        let whole = |output: &Output| {
            output.whole(self.deadline).unwrap_or_else(|| {
                panic!(
                    "maitred ended, but somebody still holds its output\n{}",
                    self.story()
                )
            })
        };
        (whole(&self.stdout), whole(&self.stderr))
    }

    /// The processes that descend from this run, known by an environment entry that only they
    /// have. What was started with a fresh environment has to be known otherwise.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::with_environment(&self.mark)
    }

    /// For messages: what happened so far.
    pub(crate) fn story(&self) -> String {
        let mut story = String::from("events:\n");
        for event in &self.events.seen {
            story += &format!("  {}\n", event.json);
        }
        for (name, output) in [
            ("standard output", &self.stdout),
            ("standard error", &self.stderr),
        ] {
            let text = output.so_far();
            let start = text
                .char_indices()
                .rev()
                .nth(4000)
                .map_or(0, |(index, _)| index);
            story += &format!("{name}:\n{}\n", &text[start..]);
        }
        story
    }

    fn has_ended(&mut self) -> bool {
        self.ended.is_some() || self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut fault = None;
        if !self.has_ended() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let deadline = Instant::now() + PATIENCE;
            while !self.has_ended() {
                if self.events.wait(self.handle.as_fd(), deadline).is_none() {
                    fault = Some("maitred did not stop at SIGTERM".to_owned());
                    break;
                }
            }
        }
        let left = processes::gone_within(PATIENCE, &self.processes());
        for process in &left {
            let _ = kill_process(Pid::from_raw(process.pid).unwrap(), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !left.is_empty() && fault.is_none() {
            fault = Some(format!("left behind: {left:#?}"));
        }
        if let Some(fault) = fault
            && !thread::panicking()
        {
            panic!("{fault}\n{}", self.story());
        }
    }
}

/// The other side of a pseudo-terminal.
fn screen_of(keyboard: &OwnedFd) -> PathBuf {
    let name = ptsname(keyboard, Vec::new()).unwrap();
    PathBuf::from(OsString::from_vec(name.into_bytes()))
}

/// What comes out of a pipe, gathered by a thread of its own.
struct Output {
    state: Arc<(Mutex<Gathered>, Condvar)>,
}

#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    fn capture(mut pipe: impl Read + Send + 'static) -> Output {
        let state = Arc::new((Mutex::new(Gathered::default()), Condvar::new()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let length = pipe.read(&mut buffer).unwrap_or(0);
                let (gathered, news) = &*shared;
                let mut gathered = gathered.lock().unwrap();
                gathered.bytes.extend_from_slice(&buffer[..length]);
                gathered.closed |= length == 0;
                news.notify_all();
                if gathered.closed {
                    return;
                }
            }
        });
        Output { state }
    }

    fn wait(&self, deadline: Instant, enough: impl Fn(&str) -> bool) -> Option<String> {
        let (gathered, news) = &*self.state;
        let mut gathered = gathered.lock().unwrap();
        loop {
            let text = String::from_utf8_lossy(&gathered.bytes);
            if enough(&text) {
                return Some(text.into_owned());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if gathered.closed {
                return None;
            }
            gathered = news.wait_timeout(gathered, left).unwrap().0;
        }
    }

    fn whole(&self, deadline: Instant) -> Option<Vec<u8>> {
        let (gathered, news) = &*self.state;
        let mut gathered = gathered.lock().unwrap();
        while !gathered.closed {
            let left = deadline.checked_duration_since(Instant::now())?;
            gathered = news.wait_timeout(gathered, left).unwrap().0;
        }
        Some(gathered.bytes.clone())
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.state.0.lock().unwrap().bytes).into_owned()
    }
}
