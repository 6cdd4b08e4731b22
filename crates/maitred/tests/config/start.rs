//! From a config file to processes: `start` and `restart` take effect as the file says.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Place, at};

/// A place with a home folder, whose apps end with it.
struct Home(Place);

impl Home {
    fn new() -> Self {
        let place = Place::new().file("stay.sh", "sleep 1000\n");
        let home = place.path("home").to_str().unwrap().to_owned();
        Self(place.env("MAITRED_HOME", &home))
    }

    fn does(&self, args: &[&str], input: &str) -> String {
        let ended = self.0.maitred_with_input(args, input);
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.errors);
        ended.output
    }

    /// The instances as `jlist` has them, by their names.
    fn instances(&self, name: &str) -> Vec<Value> {
        let list: Vec<Value> = serde_json::from_str(&self.does(&["jlist"], "")).unwrap();
        let named = list.into_iter().filter(|it| it["name"] == name);
        named.collect()
    }

    /// The environment of an instance's process, of names that begin with `T_`.
    fn environment(&self, name: &str, instance: usize) -> Vec<String> {
        let list = self.instances(name);
        let pid = at(&list[instance], "pid").as_i64().unwrap();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        let text = String::from_utf8(environment).unwrap();
        let mut ours: Vec<_> = text
            .split('\0')
            .filter(|entry| entry.starts_with("T_"))
            .map(str::to_owned)
            .collect();
        ours.sort();
        ours
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let ended = self.0.maitred(&["kill"]);
        if !std::thread::panicking() {
            assert_eq!(ended.code, 0, "{}", ended.errors);
        }
    }
}

#[test]
fn what_the_file_says_takes_effect_and_what_it_says_no_more_is_gone() {
    let home = Home::new();
    let file = home.0.path("a.json");
    let text = "{ apps: [
        { script: 'stay.sh', name: 'one', instances: 2, increment_var: 'T_N',
          env: { T_A: 1, T_B: 2, T_N: 5 }, env_production: { T_B: 3 } },
        { script: 'stay.sh', name: 'two', namespace: 'other', autostart: false },
    ] }";
    fs::write(&file, text).unwrap();
    home.does(&["start", "a.json", "--env", "production"], "");
    assert_eq!(home.environment("one", 0), ["T_A=1", "T_B=3", "T_N=5"]);
    assert_eq!(home.environment("one", 1), ["T_A=1", "T_B=3", "T_N=6"]);
    let two = home.instances("two");
    assert_eq!(two.len(), 1);
    assert_eq!(*at(&two[0], "pm2_env.status"), "stopped");
    assert_eq!(*at(&two[0], "pm2_env.namespace"), "other");

    fs::write(&file, "{ script: 'stay.sh', name: 'one', env: { T_B: 4 } }").unwrap();
    home.does(&["restart", "a.json"], "");
    assert_eq!(home.environment("one", 0), ["T_B=4"]);
    assert_eq!(home.instances("one").len(), 1);
}

#[test]
fn flags_and_standard_input_start_apps_too() {
    let home = Home::new();
    home.does(&["start", "stay.sh", "-n", "flags", "-i", "3", "-s"], "");
    let flags = home.instances("flags");
    assert_eq!(flags.len(), 3);
    assert_eq!(*at(&flags[0], "pm2_env.exec_mode"), "cluster_mode");

    let text = json!([{ "script": "stay.sh", "name": "in", "env": { "T_X": "a b" } }]);
    home.does(&["start", "-"], &text.to_string());
    assert_eq!(home.environment("in", 0), ["T_X=a b"]);
}

#[test]
fn the_environment_of_the_command_is_given_when_asked_for() {
    let mut home = Home::new();
    home.does(&["start", "stay.sh", "--name", "it"], "");
    assert!(home.environment("it", 0).is_empty());
    home.0.set("T_NEW", "1");
    home.does(&["restart", "it"], "");
    assert!(home.environment("it", 0).is_empty());
    home.does(&["restart", "it", "--update-env"], "");
    assert_eq!(home.environment("it", 0), ["T_NEW=1"]);
    home.does(&["stop", "it"], "");
    home.0.set("T_NEW", "2");
    home.does(&["start", "it", "-a"], "");
    assert_eq!(home.environment("it", 0), ["T_NEW=2"]);
}

#[test]
fn without_a_daemon_the_apps_end_with_the_command() {
    let home = Home::new();
    fs::write(home.0.path("talk.sh"), "echo hello from $$\nsleep 1000\n").unwrap();
    let mut running = home.0.start(&["start", "talk.sh", "--no-daemon"]);
    running.prints("hello from");
    kill_process(Pid::from_child(&running.child), Signal::TERM).unwrap();
    let ended = running.end();
    assert_eq!(ended.code, 0, "{}", ended.errors);
    let app = home.instances("talk");
    assert_eq!(*at(&app[0], "pm2_env.status"), "stopped");
}

/// Both go over Node's channel, and neither leaves a trace where nobody acts on it.
#[test]
fn ready_and_shutdown_are_messages() {
    let home = Home::new();
    let text = "const fs = require('fs');
        process.on('SIGINT', () => fs.appendFileSync('seen', 'signal '));
        process.on('message', (it) => { fs.appendFileSync('seen', it + ' '); process.exit(0); });
        setInterval(() => {}, 1000);
        setTimeout(() => { fs.appendFileSync('seen', 'up '); process.send('ready'); }, 300);";
    fs::write(home.0.path("app.js"), text).unwrap();
    let config = "{ script: 'app.js', wait_ready: true, shutdown_with_message: true,
                    listen_timeout: '60s', kill_timeout: '60s' }";
    fs::write(home.0.path("a.json"), config).unwrap();
    home.does(&["start", "a.json"], "");
    let seen = || fs::read_to_string(home.0.path("seen")).unwrap_or_default();
    assert_eq!(seen(), "up ", "start came back before it was ready");
    home.does(&["stop", "app"], "");
    assert_eq!(seen(), "up shutdown ");
}

#[test]
fn a_wrong_file_starts_nothing() {
    let home = Home::new();
    let file = home.0.path("a.json");
    fs::write(
        &file,
        "[{ script: 'stay.sh' }, { script: 'stay.sh', port: 'x' }]",
    )
    .unwrap();
    let ended = home.0.maitred(&["start", "a.json"]);
    assert_eq!(ended.code, 1);
    assert!(ended.errors.contains("port"), "{}", ended.errors);
    assert_eq!(home.does(&["jlist"], "").trim(), "[]");
}
