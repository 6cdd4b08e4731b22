//! The victims: where their sources are, how they are compiled and started.

use ::home::runtime_folder::LIBRARY;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::harness::{Run, Setup, free_port, tool};

macro_rules! sources {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../victims/", $name)))),*]
    };
}

/// No victim may take longer for its next step.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The sources, which the test program carries along: it may run where no checkout is.
const SOURCES: &[(&str, &str)] = &sources![
    "victim.h",
    "acceptors.c",
    "acceptors.py",
    "agent.c",
    "client.c",
    "closer.py",
    "fake_listener.c",
    "full.c",
    "go.c",
    "heirs.c",
    "holders.c",
    "leftover.py",
    "loaded.c",
    "parked.c",
    "paths.c",
    "ports.c",
    "raw.c",
    "prefork.py",
    "refusals.c",
    "reuse.c",
    "shutdown.c",
    "wild.c",
];

/// The libraries that a program can be built against.
pub(crate) const COMPILERS: [&str; 2] = ["gcc", "musl-gcc"];

/// Writes a source into the folder.
pub(crate) fn source(name: &str, folder: &Path) -> PathBuf {
    let Some((_, text)) = SOURCES.iter().find(|(known, _)| *known == name) else {
        panic!("no victim {name}");
    };
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Compiles a victim of this name into the folder.
pub(crate) fn compile(compiler: &str, name: &str, folder: &Path) -> PathBuf {
    source("victim.h", folder);
    source("raw.c", folder);
    let source = source(&format!("{name}.c"), folder);
    let program = folder.join(name);
    let output = Command::new(tool(compiler))
        .args(["-Wall", "-Wextra", "-Werror", "-O1", "-pthread", "-o"])
        .args([&program, &source])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{compiler} {name}.c:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// Writes the preload library into the folder.
pub(crate) fn library(folder: &Path) -> PathBuf {
    let path = folder.join("libmaitred.so");
    fs::write(&path, LIBRARY).unwrap();
    path
}

/// A maitred that is to run a victim of this name, written in Python.
pub(crate) fn python_setup(name: &str) -> Setup {
    let mut setup = Setup::script("");
    let script = source(name, setup.folder());
    setup.set_script(&script);
    setup
}

/// A maitred that is to run a victim of this name, written in C.
pub(crate) fn setup(compiler: &str, name: &str, arguments: &[&str]) -> Setup {
    let mut setup = Setup::script("");
    let program = compile(compiler, name, setup.folder());
    setup.set_script(&program);
    arguments.iter().fold(setup, Setup::argument)
}

/// What the victims have reported so far: the rest of each line with `report `.
pub(crate) fn reports(run: &Run, what: &str, count: usize) -> Vec<String> {
    let parse = |text: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.split_once("report "))
            .map(|(_, report)| report.to_owned())
            .collect()
    };
    let text = run.output(what, |text| {
        text.ends_with('\n') && parse(text).len() >= count
    });
    parse(&text)
}

/// A process of a test's own: it ends with its parent, and at the latest with the test.
pub(crate) struct Victim {
    child: Child,
}

impl Victim {
    pub(crate) fn start(command: &mut Command) -> Victim {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Victim {
            child: command.spawn().unwrap(),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, and gives the status and what was printed. Takes note of neither
    /// before, so the program must not print much.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let handle = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        let mut fds = [PollFd::new(&handle, PollFlags::IN)];
        let limit = Timespec::try_from(PATIENCE).unwrap();
        if poll(&mut fds, Some(&limit)).unwrap() == 0 {
            panic!("the victim {} does not end", self.child.id());
        }
        let mut text = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap(), text)
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let stdout = self.child.stdout.as_mut().unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            let limit = Timespec::try_from(PATIENCE).unwrap();
            let ready = poll(&mut [PollFd::new(stdout, PollFlags::IN)], Some(&limit)).unwrap();
            assert_ne!(ready, 0, "nothing printed after {line:?}");
            match stdout.read(&mut byte).unwrap() {
                0 => panic!(
                    "the victim ended after {:?}",
                    String::from_utf8_lossy(&line)
                ),
                _ if byte[0] == b'\n' => return String::from_utf8(line).unwrap(),
                _ => line.push(byte[0]),
            }
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a victim to its end without maitred and with it, built for each libc: it must find all
/// that it checks to hold. Gives the runs under maitred.
pub(crate) fn holds(name: &str, arguments: &[&str]) -> Vec<Run> {
    let runs = COMPILERS.iter().map(|compiler| {
        let other = free_port().to_string();
        let setup = setup(compiler, name, arguments)
            .env("OTHER_PORT", &other)
            .instances(1)
            .flag("--no-autorestart");

        let mut command = Command::new(setup.folder().join(name));
        command
            .args(arguments)
            .env("PORT", setup.port().to_string())
            .env("OTHER_PORT", &other);
        let (status, text) = Victim::start(&mut command).end();
        assert!(status.success(), "without maitred: {status}: {text}");

        let mut run = setup.start();
        assert_eq!(run.exit_code(), 0, "{compiler}\n{}", run.story());
        run
    });
    runs.collect()
}

/// For tests in which nobody should be harmed: no process has ended, and no connection was
/// refused.
pub(crate) fn unharmed(run: &mut Run) {
    let events = run.events();
    let mut harm = events
        .iter()
        .filter(|event| event.is("exited") || event.is("refused"));
    assert!(harm.next().is_none(), "{}", run.story());
}
