//! The same steps with pm2 itself: what scripts read of an app is the same.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{beside_others, tool};
use crate::home::{Home, ended};
use crate::wait::until_it_is;

const JOB: &str = "console.log('up'); setInterval(() => {}, 1e6);";

/// One of the two programs, in a home of its own.
pub(crate) struct Manager<'a> {
    pub(crate) home: &'a Home,
    pub(crate) pm2: bool,
}

impl Manager<'_> {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        if !self.pm2 {
            return self.home.command(args);
        }
        let mut command = self.home.command(&[]);
        let mut pm2 = Command::new(tool("pm2"));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => pm2.env(name, value),
                None => pm2.env_remove(name),
            };
        }
        command.env_clear();
        pm2.args(args)
            .current_dir(self.home.folder())
            // Where it writes files, as from a shell.
            .env("PWD", self.home.folder())
            .env("PM2_HOME", self.home.folder().join("pm2"))
            .stdin(std::process::Stdio::null());
        pm2
    }

    pub(crate) fn does(&self, args: &[&str]) {
        let ended = ended(self.command(args));
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
    }

    pub(crate) fn app(&self) -> Value {
        let ended = ended(self.command(&["jlist"]));
        let start = ended.output.find("[{").unwrap();
        let list: Value = serde_json::from_str(&ended.output[start..]).unwrap();
        list[0].clone()
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.app()["pm2_env"]["restart_time"].as_u64().unwrap()
    }

    /// Its process is killed; what is counted when the next one runs.
    fn crashes(&self) -> u64 {
        let before = self.app()["pid"].as_i64().unwrap();
        let pid = Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        until_it_is("another process runs", || {
            let app = self.app();
            app["pm2_env"]["status"] == "online" && app["pid"] != before
        });
        self.restarts()
    }

    fn counts(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for step in [
            &["start", "app.json"][..],
            &["restart", "job"],
            &["stop", "job"],
            &["restart", "job"],
            &["reload", "job"],
            &["stop", "job"],
            &["reload", "job"],
            &["restart", "app.json"],
        ] {
            self.does(step);
            counts.push(self.restarts());
        }
        counts.push(self.crashes());
        self.does(&["reset", "job"]);
        counts.push(self.restarts());
        counts
    }
}

/// Ends pm2's daemon also when a test fails.
impl Drop for Manager<'_> {
    fn drop(&mut self) {
        if self.pm2 {
            let _ = self.command(&["kill"]).output();
        }
    }
}

#[test]
fn restarts_are_counted_and_variables_shown_as_in_pm2() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.js", JOB);
    let app = json!({
        "name": "job", "script": "job.js", "port": 4567, "restart_delay": 1, "pid_file": home.folder().join("z.pid"),
        "env": { "NUMBER": 5, "FLOAT": 1.5, "TEXT": "5", "YES": true },
    });
    home.file("app.json", &json!({ "apps": [app] }).to_string());
    let of = |pm2| {
        let manager = Manager { home: &home, pm2 };
        let counts = manager.counts();
        let env = manager.app()["pm2_env"]["env"].clone();
        let shown = [
            "NUMBER",
            "FLOAT",
            "TEXT",
            "YES",
            "name",
            "pm_id",
            "NODE_APP_INSTANCE",
        ];
        let shown = shown.map(|name| env.get(name).cloned());
        // What `port` says pm2 has among the other fields alone.
        assert_eq!(env.get("PORT").is_some(), !pm2);
        assert_eq!(manager.app()["pm2_env"]["PORT"], 4567);
        let pid = std::fs::read_to_string(home.folder().join("z-0.pid")).unwrap();
        assert_eq!(pid, manager.app()["pid"].to_string());
        manager.does(&["delete", "job"]);
        (counts, shown)
    };
    assert_eq!(of(false), of(true));
}

#[test]
fn node_args_are_cleared_as_in_pm2() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("job.js", JOB);
    let of = |pm2| {
        let manager = Manager { home: &home, pm2 };
        manager.does(&["start", "job.js", "--node-args=--no-warnings"]);
        let given = manager.app()["pm2_env"]["node_args"].clone();
        manager.does(&["restart", "job", "--node-args=null"]);
        let cleared = manager.app()["pm2_env"]["node_args"].clone();
        // pm2 shows null then, and an empty list where there never were any.
        let cleared = cleared.as_array().is_none_or(Vec::is_empty);
        assert!(cleared, "pm2: {pm2}");
        manager.does(&["delete", "job"]);
        (given, cleared)
    };
    assert_eq!(of(false), of(true));
}
