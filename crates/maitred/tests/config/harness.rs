//! A folder with files, and `maitred` run in it.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;
use tempfile::TempDir;

use crate::place;

/// No run takes so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A folder of its own, with a script in it: `app.sh`.
pub(crate) struct Place {
    folder: TempDir,
    path: Vec<PathBuf>,
    env: Vec<(String, String)>,
}

/// How a run has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self {
            folder,
            path: vec!["/usr/local/bin".into(), "/usr/bin".into(), "/bin".into()],
            env: Vec::new(),
        };
        place.file("app.sh", "echo hello\n")
    }

    /// With this file in it.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self
    }

    /// Of the runtimes, only these are there.
    pub(crate) fn runtimes(mut self, names: &[&str]) -> Self {
        let folder = self.path("runtimes");
        fs::create_dir_all(&folder).unwrap();
        for name in ["bash", "sh"].iter().chain(names) {
            symlink(place::tool(name).canonicalize().unwrap(), folder.join(name)).unwrap();
        }
        self.path = vec![folder];
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// From now on this variable is so.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn executable(&self, name: &str) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs maitred here.
    pub(crate) fn maitred(&self, args: &[&str]) -> Ended {
        self.maitred_with_input(args, "")
    }

    pub(crate) fn maitred_with_input(&self, args: &[&str], input: &str) -> Ended {
        let mut running = self.start(args);
        let mut stdin = running.child.stdin.take().unwrap();
        // It may have ended without reading; that shows in what it says.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        running.end()
    }

    /// Starts maitred here.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = Command::new(place::maitred())
            .args(args)
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", std::env::join_paths(&self.path).unwrap())
            .env("HOME", "/home/somebody")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = gather(child.stderr.take().unwrap());
        Running {
            output: child.stdout.take().unwrap(),
            gathered: Vec::new(),
            errors: Some(errors),
            child,
        }
    }

    /// The apps that `maitred check` finds with these arguments, and what it warns of.
    pub(crate) fn apps(&self, args: &[&str]) -> (Vec<Value>, String) {
        let ended = self.maitred(&[&["check"], args].concat());
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.errors);
        (serde_json::from_str(&ended.output).unwrap(), ended.errors)
    }

    /// The one app, with no warnings.
    pub(crate) fn app(&self, args: &[&str]) -> Value {
        let (mut apps, warnings) = self.apps(args);
        assert_eq!(warnings, "");
        assert_eq!(apps.len(), 1);
        apps.remove(0)
    }

    /// The one app that `app.json` describes, beside script and name.
    pub(crate) fn described(fields: &str) -> Value {
        let text = format!("{{ script: 'app.sh', name: 'app', {fields} }}");
        Self::new().file("app.json", &text).app(&["app.json"])
    }

    /// What `maitred check` says to arguments that are wrong.
    pub(crate) fn wrong(&self, args: &[&str]) -> String {
        let ended = self.maitred(&[&["check"], args].concat());
        assert_ne!(ended.code, 0, "{args:?}: {}", ended.output);
        assert_eq!(ended.output, "");
        ended.errors
    }
}

/// A maitred at work; it is killed when the test drops it.
pub(crate) struct Running {
    pub(crate) child: Child,
    output: ChildStdout,
    gathered: Vec<u8>,
    errors: Option<thread::JoinHandle<String>>,
}

impl Running {
    /// Waits until it has printed this.
    pub(crate) fn prints(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.gathered).contains(text) {
            assert!(self.read(), "it ended before it printed {text}");
        }
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        while self.read() {}
        let handle = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        self.within_the_limit(handle.as_fd());
        let status = self.child.wait().unwrap();
        let errors = self.errors.take().unwrap().join().unwrap();
        assert!(!errors.contains("panicked"), "{errors}");
        Ended {
            code: status
                .code()
                .unwrap_or_else(|| panic!("{status}: {errors}")),
            output: String::from_utf8(std::mem::take(&mut self.gathered)).unwrap(),
            errors,
        }
    }

    /// Reads what there is; false at the end.
    fn read(&mut self) -> bool {
        self.within_the_limit(self.output.as_fd());
        let mut chunk = [0; 16 << 10];
        let read = self.output.read(&mut chunk).unwrap();
        self.gathered.extend_from_slice(&chunk[..read]);
        read > 0
    }

    fn within_the_limit(&self, fd: BorrowedFd) {
        let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
        let timeout = Timespec::try_from(LIMIT).unwrap();
        let ready = poll(&mut fds, Some(&timeout)).unwrap();
        assert_ne!(ready, 0, "it takes longer than {LIMIT:?}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// The value at a path such as `restart.max_unstable`.
pub(crate) fn at<'a>(app: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(app, |value, key| {
        value
            .get(key)
            .unwrap_or_else(|| panic!("no {path} in {app:#}"))
    })
}
