//! An app with one field that changes, and ways to see whether the change is in effect.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{PATIENCE, Process, gone_within};
use crate::home::{Ended, Home};

/// One field, before and after.
pub(crate) struct Row {
    pub(crate) field: &'static str,
    pub(crate) before: Value,
    pub(crate) after: Value,
    /// What else is written, at both times.
    pub(crate) beside: Value,
    /// Looks whether the change is in effect.
    pub(crate) probe: fn(&App<'_>),
}

/// An app whose config has changed.
pub(crate) struct App<'a> {
    pub(crate) home: &'a Home,
    pub(crate) name: &'a str,
    /// What the command has said with which it changed.
    pub(crate) said: &'a Ended,
}

impl App<'_> {
    pub(crate) fn instances(&self) -> Vec<Value> {
        let mut all = self.home.instances();
        all.retain(|it| it["name"] == self.name);
        all
    }

    pub(crate) fn pid(&self) -> i64 {
        self.instances()[0]["pid"].as_i64().unwrap()
    }

    pub(crate) fn proc(&self, file: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{file}", self.pid())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn has_variable(&self, entry: &str) -> bool {
        self.proc("environ").split('\0').any(|it| it == entry)
    }

    pub(crate) fn arguments(&self) -> Vec<String> {
        let line = self.proc("cmdline");
        line.split_terminator('\0').map(str::to_owned).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.folder().join(name)
    }

    /// Waits until this number of the app's lines have this text.
    pub(crate) fn writes(&self, text: &str, times: usize) -> String {
        let lines = self.home.follow(self.name);
        let mut last = String::new();
        for _ in 0..times {
            last = lines.next();
            while !last.contains(text) {
                last = lines.next();
            }
        }
        last
    }

    /// Sends a line to the instance, and waits until it has done what that says; what it writes
    /// then.
    pub(crate) fn does(&self, line: &str) -> String {
        self.sends(line);
        self.writes(&format!("did {line}"), 1)
    }

    pub(crate) fn sends(&self, line: &str) {
        let id = self.instances()[0]["pm_id"].to_string();
        self.home.does(&["send", &id, line]);
    }

    /// Lets the instance exit with this code; waits until its supervisor has ended for that.
    pub(crate) fn exits_for_good(&self, code: u8) -> String {
        let supervisor = Process::find(self.home.supervisor(self.name)).unwrap();
        self.sends(&format!("exit {code}"));
        assert_eq!(gone_within(PATIENCE, &[supervisor]), []);
        let status = self.instances()[0]["pm2_env"]["status"].clone();
        status.as_str().unwrap().to_owned()
    }

    /// Lets the instance exit; waits until maitred says how long it pauses.
    pub(crate) fn pauses(&self) -> String {
        self.sends("exit 1");
        self.shows("restarting in")
    }

    /// Waits until the app's log has this, in a line of maitred's perhaps; that line.
    pub(crate) fn shows(&self, text: &str) -> String {
        let mut command = self.home.command(&["logs", self.name, "--lines", "1000"]);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = std::io::BufRead::lines(out).map_while(Result::ok);
        let line = lines.find(|line| line.contains(text)).unwrap();
        let _ = child.kill();
        let _ = child.wait();
        line
    }

    /// Log files of this app that were set aside.
    pub(crate) fn set_aside(&self) -> Vec<String> {
        let folder = fs::read_dir(self.home.path().join("logs")).unwrap();
        let names = folder.map(|it| it.unwrap().file_name().into_string().unwrap());
        let first = format!("{}-out", self.name);
        names
            .filter(|name| name.starts_with(&first) && name.contains("__"))
            .collect()
    }
}

pub(crate) fn row(field: &'static str, before: Value, after: Value, probe: fn(&App<'_>)) -> Row {
    Row {
        field,
        before,
        after,
        beside: json!({}),
        probe,
    }
}

impl Row {
    pub(crate) fn beside(mut self, beside: Value) -> Self {
        self.beside = beside;
        self
    }

    /// The app, before or after.
    pub(crate) fn entry(&self, value: &Value) -> Value {
        let mut entry = json!({ "name": self.field, "script": "job.sh" });
        let fields = entry.as_object_mut().unwrap();
        fields.extend(self.beside.as_object().unwrap().clone());
        if !value.is_null() {
            fields.insert(self.field.to_owned(), value.clone());
        }
        entry
    }
}
