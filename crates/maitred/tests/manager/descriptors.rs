//! Commands to an app whose supervisor may have few files open, while clients take all that there
//! are.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Request, beside_others};
use crate::home::{Home, ended};

const APP: &str = "
require('http').createServer((_, answer) => setTimeout(() => {
    answer.setHeader('Connection', 'close');
    answer.end('served');
}, 20)).listen(process.env.PORT);
";

/// As many clients at a time.
const CLIENTS: usize = 150;

#[test]
fn commands_come_through_while_clients_take_all_descriptors() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.js", APP);
    // The supervisor raises its own limit as far as it may.
    let mut start = std::process::Command::new("sh");
    let maitred = home.command(&["start", "app.js", "-i", "4", "--per", "request"]);
    start
        .args(["-c", "ulimit -n 160; exec \"$@\"", "sh"])
        .arg(maitred.get_program())
        .args(maitred.get_args())
        .current_dir(home.folder());
    for (name, value) in maitred.get_envs() {
        match value {
            Some(value) => start.env(name, value),
            None => start.env_remove(name),
        };
    }
    let started = ended(start);
    assert_eq!(started.code, 0, "{started:?}");
    let served = AtomicUsize::new(0);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // What a restart cuts is not counted here.
                    if Request::get(&home.door(), "/").is_ok() {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let end = Ended(&over);
        while served.load(Ordering::Relaxed) < 2 * CLIENTS {
            thread::sleep(Duration::from_millis(5));
        }
        let statuses: Vec<_> = home.statuses().into_iter().map(|(_, it)| it).collect();
        assert_eq!(statuses, ["online"; 4]);
        let described = home.does(&["describe", "app"]);
        assert!(
            described.contains("160 (ulimit -n), which is low: raise it to 236"),
            "{described}"
        );
        for command in [
            &["restart", "app"][..],
            &["reload", "app"],
            &["scale", "app", "3"],
        ] {
            let before = served.load(Ordering::Relaxed);
            home.does(command);
            while served.load(Ordering::Relaxed) < before + CLIENTS {
                thread::sleep(Duration::from_millis(5));
            }
        }
        assert_eq!(home.pids().len(), 3);
        drop(end);
    });
    assert_eq!(Request::get(&home.door(), "/").unwrap().body, "served");
    home.does(&["delete", "app"]);
}

/// Lets the clients end, also when an expectation is broken.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
