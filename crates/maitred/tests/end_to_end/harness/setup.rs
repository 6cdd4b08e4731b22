//! A maitred to be started: what it is given, and how it is started.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tempfile::TempDir;

use super::events::Events;
use super::output::Output;
use super::place;
use super::run::Run;

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
            limit: Duration::from_secs(180),
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

    /// How long the whole test may take, 180 seconds unless told: many times what it takes, for
    /// where it has little of the machine.
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

/// The other side of a pseudo-terminal.
fn screen_of(keyboard: &OwnedFd) -> PathBuf {
    let name = ptsname(keyboard, Vec::new()).unwrap();
    PathBuf::from(OsString::from_vec(name.into_bytes()))
}
