//! A home folder of its own, and `maitred` run in it.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Nothing takes so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A home folder, with a folder for programs beside it. Everything in it ends with it.
pub(crate) struct Home {
    folder: TempDir,
}

/// How a command has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("app")).unwrap();
        Self { folder }
    }

    /// A path in the app's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("app").join(name)
    }

    /// Writes a file into the app's folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A log of maitred's, in its own folder.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join("home/logs").join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        // `timeout` ends what takes too long.
        let mut command = Command::new("timeout");
        command
            .arg(LIMIT.as_secs().to_string())
            .arg(env!("CARGO_BIN_EXE_maitred"))
            .args(args)
            .current_dir(self.path(""))
            .env("MAITRED_HOME", self.folder.path().join("home"))
            .env("PATH", path_with_tools())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs maitred to its end.
    pub(crate) fn maitred(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(!errors.contains("panicked"), "{errors}");
        Ended {
            code: output.status.code().unwrap(),
            output: String::from_utf8(output.stdout).unwrap(),
            errors,
        }
    }

    /// The same for a command that does what it is told.
    pub(crate) fn good(&self, args: &[&str]) -> String {
        let ended = self.maitred(args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        ended.output
    }

    /// The instances, as `jlist` shows them.
    pub(crate) fn instances(&self) -> Vec<Value> {
        serde_json::from_str(&self.good(&["jlist"])).unwrap()
    }

    /// The process of the first instance.
    pub(crate) fn pid(&self) -> u64 {
        self.instances()[0]["pid"].as_u64().unwrap()
    }

    /// Everything that an app has written, and what it writes from now on.
    pub(crate) fn follow(&self, app: &str) -> Lines {
        let mut command = self.command(&["logs", app, "--raw", "--lines", "1000"]);
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
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
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command(&["kill"]).output();
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
        self.lines.recv_timeout(LIMIT).expect("another line")
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pinned runtimes, and after them what is installed.
fn path_with_tools() -> OsString {
    let tools = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/tools/node_modules/.bin"
    );
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = [PathBuf::from(tools)].into_iter();
    env::join_paths(paths.chain(env::split_paths(&path))).unwrap()
}
