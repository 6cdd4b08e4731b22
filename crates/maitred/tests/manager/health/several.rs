//! Checks of instances that are more than one process with one TCP port: several workers below one
//! master, a Unix socket alone, and another user's command.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::said;
use crate::harness::{Door, Process, Request, beside_others, children_of, repository};
use crate::home::Home;
use crate::wait::until_it_is;

const GUNICORN: &str = "
import os

def application(environ, start_response):
    while environ['PATH_INFO'] == '/healthz' and os.path.exists(f'sick-{os.getpid()}'):
        pass
    body = str(os.getpid()).encode()
    start_response('200 OK', [('Content-Length', str(len(body)))])
    return [body]
";

const NODE: &str = "
const fs = require('fs');
require('http').createServer((request, answer) => {
    while (request.url === '/healthz' && fs.existsSync(`sick-${process.pid}`));
    answer.end(String(process.pid));
}).listen('app.sock');
";

/// An app of two instances that is checked often, and where its clients find it.
struct App {
    home: Home,
    door: Door,
    /// How many processes of each instance serve.
    workers: usize,
}

impl App {
    fn new(home: Home, door: Door, workers: usize, fields: &Value) -> Self {
        let mut app = json!({ "name": "api", "instances": 2, "drain_timeout": "1s",
            "health": { "http": "/healthz", "interval": "200ms", "timeout": "2s", "failures": 2 } });
        let app_fields = app.as_object_mut().unwrap();
        app_fields.extend(fields.as_object().unwrap().clone());
        home.file("apps.json", &json!([app]).to_string());
        Self {
            home,
            door,
            workers,
        }
    }

    fn gunicorn(level: &str) -> Self {
        let home = Home::new();
        home.file("app.py", GUNICORN);
        home.file("serve.py", "from gunicorn.app.wsgiapp import run\nrun()\n");
        let installed = repository().join("tests/tools/python");
        assert!(
            installed.join("gunicorn").is_dir(),
            "`make test` installs it"
        );
        let bind = format!("127.0.0.1:{}", home.port);
        // It does not look itself whether its workers hang.
        let args = [
            "-w",
            "2",
            "-b",
            &bind,
            "--timeout",
            "0",
            "--no-control-socket",
            "app:application",
        ];
        let fields = json!({ "script": "serve.py", "per": level,
            "args": args,
            "env": { "PYTHONPATH": installed, "PYTHONDONTWRITEBYTECODE": "1" } });
        let door = home.door();
        Self::new(home, door, 2, &fields)
    }

    /// It listens on a Unix socket alone.
    fn node(level: &str) -> Self {
        let home = Home::new();
        home.file("app.cjs", NODE);
        let door = Door::Unix(home.folder().join("app.sock"));
        let fields = json!({ "script": "app.cjs", "per": level });
        Self::new(home, door, 1, &fields)
    }

    /// The processes of an instance that serve.
    fn servers_of(&self, instance: i32) -> Vec<i32> {
        match self.workers {
            1 => vec![instance],
            _ => children_of(instance),
        }
    }

    /// Who answers the next client.
    fn answer(&self) -> i32 {
        let answer = Request::get(&self.door, "/").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        i32::try_from(answer.json().as_i64().unwrap()).unwrap()
    }
}

/// One worker of one instance hangs at its check: the instance gets nothing new, and is replaced with all
/// its workers. The others serve on.
fn one_that_hangs_is_replaced(app: &App) {
    let home = &app.home;
    let started = home.run(&["start", "apps.json"]);
    assert_eq!(
        started.code,
        0,
        "{started:?} {}",
        home.run(&["logs", "api", "--nostream"]).output
    );
    let [sick, well] = home.pids()[..] else {
        panic!("there are two instances");
    };
    until_it_is("all workers are there", || {
        [sick, well].map(|it| app.servers_of(it).len()) == [app.workers; 2]
    });
    let left_alone = app.servers_of(sick);
    let hangs = *left_alone.last().unwrap();
    home.file(&format!("sick-{hangs}"), "");
    let who = match app.workers {
        1 => "it hangs".to_owned(),
        _ => format!("its worker with PID {hangs} hangs"),
    };
    let told = format!("(PID {sick}) is unhealthy: {who}: it has not");
    until_it_is("it is told", || said(home).contains(&told));
    let mut answered = BTreeSet::new();
    until_it_is("it is replaced", || {
        answered.insert(app.answer());
        Process::find(sick).is_none() && home.pids().len() == 2
    });
    let wrong = left_alone.iter().filter(|it| answered.contains(it));
    assert_eq!(wrong.count(), 0, "{left_alone:?} {answered:?}");
    // The hanging worker has gone with its instance, and all serve again.
    assert!(left_alone.iter().all(|it| Process::find(*it).is_none()));
    until_it_is("the successor serves, too", || {
        let new = app.servers_of(home.pids()[0]);
        new.contains(&app.answer())
    });
}

#[test]
fn gunicorn_is_replaced_with_its_workers() {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        one_that_hangs_is_replaced(&App::gunicorn(level));
    }
}

#[test]
fn who_listens_on_a_unix_socket_alone_is_checked_there() {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        one_that_hangs_is_replaced(&App::node(level));
    }
}

/// A command has the app's user, also where only root may choose that; whatever it leaves is killed.
#[test]
fn a_command_has_the_users_rights() {
    let _turn = beside_others();
    let home = Home::new();
    let own = rustix::process::geteuid();
    let uid = if own.is_root() { 65534 } else { own.as_raw() };
    // The app's own folder is for all.
    fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    home.file(
        "check.sh",
        "case $(cat how 2>/dev/null) in
            hang) echo user $(id -u); sleep 987654 & sleep 987653 ;;
            no) echo user $(id -u); exit 3 ;;
        esac\n",
    );
    home.file("job.sh", "exec sleep 1000\n");
    let check = json!({ "command": ["sh", "check.sh"], "interval": "100ms", "timeout": "1s", "failures": 2 });
    let mut app = json!({ "name": "api", "script": "job.sh", "health": check });
    if own.is_root() {
        app["uid"] = json!(uid);
    }
    home.file("apps.json", &json!([app]).to_string());
    home.does(&["start", "apps.json"]);
    let mut before = home.pids();
    for (how, words) in [
        ("no", "its check exits with code 3"),
        ("hang", "its check has not ended within 1 s"),
    ] {
        let told = format!("is unhealthy: {words}: user {uid}");
        let file = home.file("how", how);
        until_it_is(&told, || said(&home).contains(&told));
        until_it_is("it is replaced", || {
            let now = home.pids();
            now.len() == 1 && now != before && Process::find(before[0]).is_none()
        });
        fs::remove_file(file).unwrap();
        until_it_is("its successor is healthy", || {
            home.does(&["ls"]).contains("online")
        });
        before = home.pids();
    }
    until_it_is("nothing is left of the checks", || {
        let all = crate::harness::descendants_of(home.supervisor("api"));
        !all.iter().any(|it| it.command.contains("98765"))
    });
}
