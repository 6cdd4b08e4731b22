//! What the API tells is what is, and what it is told to do is done.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Request, beside_others};
use crate::home::{Home, NODE_SERVER};
use crate::server::Dashboard;

fn instances(dashboard: &Dashboard, app: &str) -> Vec<Value> {
    let instances = dashboard.tells(&format!("/api/v1/apps/{app}/instances"));
    instances.as_array().unwrap().clone()
}

#[test]
fn orders_do_what_commands_do() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.does(&["start", "server.js", "-n", "api", "-i", "2"]);
    let dashboard = Dashboard::of(&home);
    let done = |verb: &str, body: &str| {
        let answer = dashboard.orders(&format!("/api/v1/apps/api/{verb}"), body);
        assert_eq!(answer.status, 200, "{verb} {answer:?}");
        answer.json()["done"].as_str().unwrap().to_owned()
    };
    let [first, second] = home.pids()[..] else {
        panic!("two run");
    };
    assert_eq!(done("restart", "{\"instance\": 1}"), "api-1: restarted");
    let [same, new] = home.pids()[..] else {
        panic!("two run");
    };
    assert!(same == first && new != second);
    assert_eq!(done("reload", ""), "api: reloaded");
    assert!(!home.pids().contains(&first));
    assert_eq!(
        done("scale", "{\"instances\": 3}"),
        "api: scaled from 2 to 3"
    );
    assert_eq!(home.pids().len(), 3);
    dashboard.until("it shows three", |it| instances(it, "api").len() == 3);
    assert_eq!(done("stop", "{}"), "api: stopped");
    assert!(
        home.statuses()
            .iter()
            .all(|(_, status)| status == "stopped")
    );
    dashboard.until("it shows that", |it| {
        instances(it, "api")
            .iter()
            .all(|one| one["condition"] == "off")
    });
    assert_eq!(done("start", "{}"), "api: started");
    assert!(home.statuses().iter().all(|(_, status)| status == "online"));
    // Why something fails is said.
    home.file("server.js", "process.exit(3)");
    let failed = dashboard.orders("/api/v1/apps/api/restart", "");
    assert_eq!(failed.status, 409, "{failed:?}");
    assert!(
        failed.json()["error"].as_str().unwrap().contains("api"),
        "{failed:?}"
    );
}

#[test]
fn figures_logs_and_events_are_those_of_the_app() {
    let _turn = beside_others();
    let home = Home::new();
    let server = format!("{NODE_SERVER}console.error('<b>\\x1b[2Jcareful\\x1b[31m')");
    home.file("server.js", &server);
    home.does(&[
        "start",
        "server.js",
        "-n",
        "api",
        "--per",
        "request",
        "-i",
        "2",
    ]);
    let dashboard = Dashboard::of(&home);
    for _ in 0..20 {
        let answer = Request::get(&home.door(), "/").unwrap();
        assert_eq!(answer.status, 200);
    }
    dashboard.until("all are counted", |it| {
        let given = instances(it, "api");
        let given = given.iter().filter_map(|one| one["given"].as_u64());
        given.sum::<u64>() == 20
    });
    dashboard.until("the median is known, or was", |it| {
        let figures = it.tells("/api/v1/apps/api/figures");
        let known = |column: &str| {
            let values = figures[column].as_array().unwrap();
            values
                .iter()
                .any(|value| value.as_f64().is_some_and(|it| it > 0.0))
        };
        known("rate") && known("p50") && known("p99") && known("memory")
    });
    let logs = dashboard.tells("/api/v1/apps/api/logs?lines=5");
    let lines = logs["lines"].as_array().unwrap();
    let careful = lines.iter().find(|line| line["kind"] == "err").unwrap();
    assert_eq!(careful["text"], "<b>\\u{1b}[2Jcareful");
    assert!(lines.iter().any(|line| line["kind"] == "maitred"), "{logs}");
    assert_eq!(
        dashboard.tells("/api/v1/apps/api/logs?lines=0")["lines"],
        Value::Array(Vec::new())
    );
    // Started before the dashboard was; supervisors still know.
    dashboard.until("events are known", |it| {
        let events = it.tells("/api/v1/events");
        let mut events = events.as_array().unwrap().iter();
        events.any(|it| it["event"] == "started" && it["app"] == "api")
    });
    home.does(&["restart", "api"]);
    dashboard.until("the exit is told", |it| {
        let events = it.tells("/api/v1/events");
        let mut events = events.as_array().unwrap().iter();
        events.any(|it| it["event"] == "exited" && it["instance"] == 1)
    });
}

/// Metrics and probes are those of all apps.
#[test]
fn metrics_and_probes_are_those_of_all_apps() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.file("job.sh", "exec sleep 1000\n");
    let dashboard = Dashboard::of(&home);
    let ready = || dashboard.get("/readyz", "").status;
    home.does(&["start", "server.js", "-n", "api"]);
    home.does(&["start", "job.sh"]);
    dashboard.until("all is ready", |it| {
        ready() == 200 && it.tells("/api/v1/apps")["apps"].as_array().unwrap().len() == 2
    });
    let metrics = |accept: &str| {
        let head = format!(
            "GET /metrics HTTP/1.1\r\n{}\r\nAccept: {accept}",
            dashboard.own()
        );
        dashboard.sends(&head, "")
    };
    for (accept, kind) in [
        (
            "application/openmetrics-text",
            "application/openmetrics-text",
        ),
        ("*/*", "text/plain"),
    ] {
        let answer = metrics(accept);
        assert!(
            answer.field("content-type").unwrap().starts_with(kind),
            "{answer:?}"
        );
        for app in ["api", "job"] {
            let up = format!("maitred_instance_up{{app=\"{app}\"");
            assert!(answer.body.contains(&up), "{answer:?}");
        }
    }
    // One that cannot come up is not ready; what is stopped need not be.
    home.file("bad.js", "setTimeout(() => process.exit(1), 50)");
    home.run(&["start", "bad.js", "--restart-delay", "60000"]);
    dashboard.until("one is not ready", |_| ready() == 503);
    let text = dashboard.get("/readyz", "").body;
    assert!(text.starts_with("1 app has no"), "{text}");
    assert_eq!(dashboard.get("/livez", "").status, 200);
    home.does(&["stop", "bad"]);
    dashboard.until("all is ready again", |_| ready() == 200);
}

/// The events of a stream: their names, with their data.
pub(crate) struct Stream(BufReader<TcpStream>);

impl Stream {
    pub(crate) fn open(dashboard: &Dashboard, path: &str) -> Self {
        let mut stream = dashboard.connect();
        let head = format!("GET {path} HTTP/1.1\r\n{}\r\n\r\n", dashboard.own());
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                return Self(reader);
            }
        }
    }

    /// The data of the next event of this name.
    pub(crate) fn next(&mut self, name: &str) -> Value {
        let mut is_it = false;
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "it goes on");
            if let Some(event) = line.strip_prefix("event: ") {
                is_it = event.trim() == name;
            }
            if let (true, Some(data)) = (is_it, line.strip_prefix("data: ")) {
                return serde_json::from_str(data).unwrap();
            }
        }
    }
}

#[test]
fn a_stream_tells_of_apps_events_and_lines() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "job.js",
        "console.log('up'); process.stdin.on('data', (line) => console.log(`heard ${line}`));",
    );
    home.does(&["start", "job.js"]);
    let dashboard = Dashboard::of(&home);
    dashboard.until("the job is seen", |it| {
        it.tells("/api/v1/apps")["apps"].as_array().unwrap().len() == 1
    });
    let mut stream = Stream::open(&dashboard, "/api/v1/stream?logs=job");
    assert_eq!(stream.next("hello")["read_only"], false);
    assert_eq!(stream.next("apps")["apps"][0]["name"], "job");
    let mut until_line = |wanted: &str| {
        loop {
            let lines = stream.next("lines");
            let lines = lines.as_array().unwrap();
            if lines
                .iter()
                .any(|line| line["text"].as_str().unwrap().contains(wanted))
            {
                return;
            }
        }
    };
    until_line("up");
    home.does(&["send", "0", "a word"]);
    until_line("heard a word");
    let mut others = Stream::open(&dashboard, "/api/v1/stream");
    assert_eq!(others.next("apps")["apps"][0]["name"], "job");
    home.does(&["restart", "job"]);
    loop {
        let happened = others.next("happened");
        if happened["event"] == "exited" {
            assert_eq!(happened["app"], "job");
            return;
        }
    }
}

/// What is unwell is told apart, and why it is.
#[test]
fn what_is_unwell_is_told_with_its_reason() {
    let _turn = beside_others();
    let home = Home::new();
    home.file(
        "stuck.js",
        &format!("{NODE_SERVER}setTimeout(() => {{ for (;;); }}, 300)"),
    );
    home.file("bad.js", "setTimeout(() => process.exit(1), 50)");
    home.does(&["start", "stuck.js", "-i", "2"]);
    home.run(&["start", "bad.js", "--restart-delay", "60000"]);
    home.run(&["start", "bad.js", "-n", "off", "--restart-delay", "60000"]);
    home.does(&["stop", "off"]);
    let dashboard = Dashboard::of(&home);
    let app = |name: &str| dashboard.tells(&format!("/api/v1/apps/{name}"));
    dashboard.until("the loop is seen to stand still", |_| {
        let stuck = app("stuck");
        let instance = &stuck["instances"][0];
        stuck["condition"] == "bad"
            && instance["blocked"].as_u64().is_some_and(|ms| ms >= 1000)
            && instance["status"].as_str().unwrap().starts_with("blocked ")
    });
    let bad = app("bad");
    assert_eq!(
        (&bad["condition"], &bad["status"]),
        (&"bad".into(), &"waiting restart".into())
    );
    let off = app("off");
    assert_eq!(
        (&off["condition"], &off["is_to_run"]),
        (&"off".into(), &false.into())
    );
}
