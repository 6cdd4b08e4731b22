//! Health checks: who fails one is told of and replaced, and nobody else notices.

mod dependants;
mod several;
mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::harness::{Door, Process, Request, beside_others, descendants_of};
use crate::home::Home;
use crate::wait::{until, until_it_is};

/// A server of a runtime, and the ways in which it can fail its check.
type Server = (&'static str, &'static str, &'static [&'static str]);

const SERVERS: [Server; 4] = [
    (
        "node.cjs",
        include_str!("health/node.cjs"),
        &["500", "close", "silent", "hang"],
    ),
    (
        "bun.ts",
        include_str!("health/bun.ts"),
        &["500", "silent", "hang"],
    ),
    (
        "deno.js",
        include_str!("health/deno.js"),
        &["500", "silent", "hang"],
    ),
    (
        "app.py",
        include_str!("health/app.py"),
        &["500", "close", "silent", "hang"],
    ),
];

/// What is told of each way to fail a request for `/healthz`.
fn words(how: &str) -> &'static str {
    match how {
        "500" => "it answers 500 to GET /healthz",
        "close" => "it closes the connection without an answer to GET /healthz",
        "silent" => "it hangs: it has not answered GET /healthz within 2 s",
        _ => "it hangs: it has not",
    }
}

/// What a supervisor has said.
fn said(home: &Home) -> String {
    fs::read_to_string(home.path().join("apps/api/supervisor.log")).unwrap()
}

/// A config file with one app, checked often.
fn config(home: &Home, script: &str, more: &Value) {
    let mut app = json!({ "name": "api", "script": script, "instances": 2, "drain_timeout": "1s",
        "health": { "http": "/healthz", "interval": "200ms", "timeout": "2s", "failures": 2 } });
    if script.ends_with("deno.js") {
        app["interpreter"] = "deno".into();
    }
    let app_fields = app.as_object_mut().unwrap();
    app_fields.extend(more.as_object().unwrap().clone());
    home.file("apps.json", &json!([app]).to_string());
}

/// Ends a load, also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks again and again, until told to stop; how many requests were answered, all of them well.
fn load(door: &Door, ends: &AtomicBool) -> usize {
    let mut answered = 0;
    while !ends.load(Ordering::Relaxed) {
        let answer = Request::get(door, "/").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answered += 1;
    }
    answered
}

fn restarts_for_health(home: &Home) -> usize {
    let metrics = home.does(&["metrics"]);
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("maitred_instance_restarts_total{"))
        .filter(|line| line.contains("reason=\"health\""));
    let counts = lines.filter_map(|line| line.rsplit_once(' '));
    counts
        .map(|(_, count)| count.parse::<usize>().unwrap())
        .sum()
}

/// Makes one of the two instances fail its check, and waits until it is replaced. A steady load loses
/// nothing; where the loop hangs it begins when that is known, for who is served by it is lost.
fn one_is_replaced(home: &Home, how: &str, at: &str) {
    let sick = home.pids()[0];
    let ends = AtomicBool::new(false);
    let is_told = || {
        let told = format!("(PID {sick}) is unhealthy: {}", words(how));
        said(home).contains(&told)
    };
    let is_gone = || Process::find(sick).is_none() && home.pids().len() == 2;
    let before = restarts_for_health(home);
    thread::scope(|scope| {
        let until_then = Ends(&ends);
        let spawn = || scope.spawn(|| load(&home.door(), &ends));
        let early = (how != "hang").then(spawn);
        home.file(&format!("sick-{sick}"), how);
        until_it_is(&format!("{at} is told of: {}", words(how)), is_told);
        let late = (how == "hang").then(spawn);
        until_it_is(&format!("{at} is replaced"), is_gone);
        drop(until_then);
        if let Some(running) = early.or(late) {
            assert!(running.join().unwrap() > 0, "{at}");
        }
    });
    assert!(restarts_for_health(home) > before, "{at}");
}

fn each_failure_is_told_and_mended(server: Server, level: &str) {
    let (file, text, failures) = server;
    let home = Home::new();
    home.file(file, text);
    config(&home, file, &json!({ "per": level }));
    home.does(&["start", "apps.json"]);
    // They were waited for.
    for healthy in [0, 1] {
        let metrics = home.does(&["metrics"]);
        let line = format!("instance_number=\"{healthy}\"}} 1");
        let mut lines = metrics.lines();
        let is_healthy =
            |it: &str| it.starts_with("maitred_instance_healthy{") && it.ends_with(&line);
        assert!(lines.any(is_healthy), "{metrics}");
    }
    for how in failures {
        one_is_replaced(&home, how, &format!("{file} per {level}, {how}"));
    }
}

macro_rules! each_failure {
    ($($name:ident: $server:literal, $level:literal;)*) => {$(
        #[test]
        fn $name() {
            let _turn = beside_others();
            each_failure_is_told_and_mended(SERVERS[$server], $level);
        }
    )*};
}

each_failure! {
    node_is_replaced: 0, "connection";
    node_is_replaced_per_request: 0, "request";
    bun_is_replaced: 1, "connection";
    bun_is_replaced_per_request: 1, "request";
    deno_is_replaced: 2, "connection";
    deno_is_replaced_per_request: 2, "request";
    python_is_replaced: 3, "connection";
    python_is_replaced_per_request: 3, "request";
}

/// One that fails a check and passes the next one is healthy again, and the same process.
#[test]
fn who_recovers_stays() {
    let _turn = beside_others();
    let home = Home::new();
    let (file, text, _) = SERVERS[0];
    home.file(file, text);
    let check = json!({ "http": "/healthz", "interval": "200ms", "failures": 1000 });
    config(&home, file, &json!({ "health": check }));
    home.does(&["start", "apps.json"]);
    let pids = home.pids();
    let sick = home.file(&format!("sick-{}", pids[1]), "500");
    let list = until("it is shown", || {
        Some(home.does(&["ls"])).filter(|list| list.contains("unhealthy"))
    });
    assert_eq!(list.matches("online").count(), 1, "{list}");
    let shown = home.does(&["describe", "api"]);
    assert!(
        shown.contains("unhealthy: it answers 500 to GET /healthz"),
        "{shown}"
    );
    // Programs that know pm2 know no such status.
    let online = [0, 1].map(|id| (id, "online".to_owned()));
    assert_eq!(home.statuses(), online);
    fs::remove_file(sick).unwrap();
    until_it_is("it is healthy again", || {
        said(&home).contains("is healthy again")
    });
    assert_eq!(home.pids(), pids);
    assert_eq!(home.does(&["ls"]).matches("online").count(), 2);
}

/// The sum of a counter over all that it is told of.
fn total(home: &Home, counter: &str) -> u64 {
    let metrics = home.does(&["metrics"]);
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with(&format!("{counter}{{")));
    let counts = lines.filter_map(|line| line.rsplit_once(' '));
    counts.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
}

/// A server that counts what it sees, of checks too.
const COUNTS: &str = "
let [asked, seen] = [0, 0];
const server = require('http').createServer((request, answer) => {
    if (request.url === '/healthz') asked += 1;
    const { remoteAddress, localPort } = request.socket;
    answer.end(JSON.stringify({ asked, seen, remoteAddress, localPort }));
});
server.on('connection', () => seen += 1);
server.listen(process.env.PORT);
";

/// A check is no client: nothing is counted of it, per connection and per request.
#[test]
fn a_check_is_no_client() {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        for mut check in [json!({ "http": "/healthz" }), json!({ "tcp": true })] {
            let home = Home::new();
            home.file("count.cjs", COUNTS);
            check["interval"] = "100ms".into();
            let more = json!({ "instances": 1, "per": level, "health": check });
            config(&home, "count.cjs", &more);
            home.does(&["start", "apps.json"]);
            let mut mine = 0;
            let counted = until(&format!("{check} came per {level}"), || {
                mine += 1;
                let counted = Request::get(&home.door(), "/").unwrap().json();
                // Requests share connections to a worker.
                let (seen, own) = (counted["seen"].as_u64(), u64::from(level == "connection"));
                (seen >= Some(own * mine + 10)).then_some(counted)
            });
            let is_asked = check["http"] == "/healthz";
            assert_eq!(counted["asked"].as_u64() > Some(0), is_asked, "{counted}");
            assert_eq!(total(&home, "maitred_connections_total"), mine);
            let given = match level {
                "connection" => "maitred_worker_connections_total",
                _ => "maitred_worker_requests_total",
            };
            assert_eq!(total(&home, given), mine, "{given}");
        }
    }
}

/// An app that answers its check as a file says, and everything else with its process.
const PIDS: &str = "
const sick = () => require('fs').existsSync(`${__dirname}/sick-${process.pid}`);
require('http').createServer((request, answer) => {
    answer.statusCode = request.url === '/healthz' && sick() ? 500 : 200;
    answer.end(String(process.pid));
}).listen(process.env.PORT);
";

/// Who is unhealthy gets nothing new, whatever the policy, until it is healthy again. Where all are, all
/// serve: none would be worse.
#[test]
fn an_unhealthy_instance_gets_nothing_new() {
    let _turn = beside_others();
    for level in ["connection", "request"] {
        for balance in ["next_available", "round_robin", "least_conn", "ip_hash"] {
            let at = format!("per {level}, {balance}");
            let home = Home::new();
            home.file("pids.cjs", PIDS);
            let check = json!({ "http": "/healthz", "interval": "100ms", "failures": 1_000_000 });
            let more = json!({ "per": level, "balance": balance, "health": check });
            config(&home, "pids.cjs", &more);
            home.does(&["start", "apps.json"]);
            let pids = home.pids();
            let sick = |pid: i32| home.folder().join(format!("sick-{pid}"));
            let becomes = |pid: i32, how: &str| {
                let told = format!("(PID {pid}) is {how}");
                let told = || said(&home).matches(&told).count();
                let before = told();
                match how {
                    "unhealthy" => fs::write(sick(pid), "").unwrap(),
                    _ => fs::remove_file(sick(pid)).unwrap(),
                }
                until_it_is(&format!("{at}: {pid} is {how}"), || told() > before);
            };
            let served_by = || -> BTreeSet<i32> {
                let answers = (0..20).map(|_| Request::get(&home.door(), "/").unwrap());
                answers.map(|it| it.body.parse().unwrap()).collect()
            };
            for [one, other] in [[pids[0], pids[1]], [pids[1], pids[0]]] {
                becomes(one, "unhealthy");
                assert_eq!(served_by(), BTreeSet::from([other]), "{at}");
                becomes(other, "unhealthy");
                assert!(!served_by().is_empty(), "{at}");
                becomes(one, "healthy");
                assert_eq!(served_by(), BTreeSet::from([one]), "{at}");
                becomes(other, "healthy");
            }
            if balance == "round_robin" {
                assert_eq!(served_by(), pids.iter().copied().collect(), "{at}");
            }
        }
    }
}

/// What never passes its first check is not up: `start` fails and says why, and a reload keeps what
/// serves.
#[test]
fn who_never_passes_is_not_up() {
    let _turn = beside_others();
    let home = Home::new();
    let (file, text, _) = SERVERS[0];
    home.file(file, text);
    let limit = json!({ "listen_timeout": "3s", "instances": 1 });
    config(&home, file, &limit);
    home.does(&["start", "apps.json"]);
    let pid = home.pids();
    home.file(file, &text.replace("how === '500' ? 500 : 200", "503"));
    let errors = home.fails(&["reload", "api"]);
    assert!(
        errors.contains("passed no health check after 3 s (listen_timeout)"),
        "{errors}"
    );
    assert!(
        errors.contains("it answers 503 to GET /healthz"),
        "{errors}"
    );
    assert_eq!(home.pids(), pid);
    let errors = home.fails(&["restart", "api"]);
    assert!(
        errors.contains("it answers 503 to GET /healthz"),
        "{errors}"
    );
    // A start fails, too, and what depends on it does not start.
    home.does(&["delete", "api"]);
    home.fails(&["start", "apps.json"]);
    home.does(&["delete", "api"]);
    let web = json!({ "name": "web", "script": "sleep", "args": "1000", "interpreter": "none", "depends_on": ["api"] });
    let mut apps: Value =
        serde_json::from_str(&fs::read_to_string(home.folder().join("apps.json")).unwrap())
            .unwrap();
    apps.as_array_mut().unwrap().push(web);
    home.file("apps.json", &apps.to_string());
    let errors = home.fails(&["start", "apps.json"]);
    assert!(
        errors.contains("it answers 503 to GET /healthz"),
        "{errors}"
    );
    let statuses: Vec<_> = home.statuses().into_iter().map(|(_, it)| it).collect();
    assert_eq!(statuses, ["launching", "stopped"], "{errors}");
}

/// What a check by command does, as a file says.
const CHECK: &str = "
case $(cat \"how-$NODE_APP_INSTANCE\" 2>/dev/null) in
    hang) sleep 987654 ;;
    flood) yes ;;
    no) echo first; echo last words; exit 3 ;;
esac
";

/// A command that hangs or floods its output is killed with all that it has started; what it has written
/// last is told. In fork mode, too, an instance that fails is replaced.
#[test]
fn a_command_tells_health() {
    let _turn = beside_others();
    for mode in ["cluster", "fork"] {
        let home = Home::new();
        home.file("check.sh", CHECK);
        home.file("job.sh", "echo up; while :; do sleep 1; done");
        let check = json!({ "command": "sh check.sh", "interval": "100ms", "timeout": "2s" });
        let app =
            json!([{ "name": "api", "script": "job.sh", "exec_mode": mode, "health": check }]);
        home.file("apps.json", &app.to_string());
        home.does(&["start", "apps.json"]);
        for (how, words) in [
            ("hang", "its check has not ended within 2 s"),
            ("flood", "its check has not ended within 2 s: y"),
            ("no", "its check exits with code 3: last words"),
        ] {
            let file = home.file("how-0", how);
            until_it_is(&format!("{mode}, {how} is told"), || {
                said(&home).contains(&format!("is unhealthy: {words}"))
            });
            fs::remove_file(file).unwrap();
            until_it_is("it is healthy again", || {
                home.does(&["ls"]).contains("online")
            });
        }
        let all = descendants_of(home.supervisor("api"));
        let is_of_a_check =
            |it: &&Process| it.command.contains("987654") || it.command.starts_with("yes");
        let left = all.iter().filter(is_of_a_check);
        assert_eq!(left.count(), 0);
        let before = home.pids();
        home.file("how-0", "no");
        until_it_is("it is replaced", || restarts_for_health(&home) > 0);
        assert!(
            said(&home).contains("3 health checks in a row have failed"),
            "{mode}"
        );
        fs::remove_file(home.folder().join("how-0")).unwrap();
        until_it_is("another one is healthy", || {
            home.pids() != before && home.does(&["ls"]).contains("online")
        });
    }
}
