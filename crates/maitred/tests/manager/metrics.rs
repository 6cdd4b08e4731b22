//! What is measured of apps: as a command prints it, as the endpoint serves it, and as a real
//! Prometheus reads it.

mod endpoint;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{Door, PATIENCE, Request, beside_others, free_port, repository, tool};
use crate::home::{Home, NODE_SERVER};
use crate::wait::until_it_is;
use endpoint::samples;
pub(crate) use endpoint::{ask, ask_with, opens, scrape, sum, two_ports};

/// Runs a tool on this input.
fn passes(program: &str, args: &[&str], input: &str) {
    let mut command = Command::new(tool(program));
    command.args(args).current_dir(repository());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout) + String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.success(),
        "{program} {args:?}: {said}\n{input}"
    );
}

#[test]
fn what_happens_is_counted() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let port = free_port().to_string();
    home.does(&[
        "start",
        "server.js",
        "-i",
        "2",
        // Whoever starts on a busy machine is passed over by other policies.
        "--balance",
        "round_robin",
        "--name",
        "api",
        "--metrics",
        &port,
    ]);
    home.is_up("api", 2);
    let port = port.parse().unwrap();
    for _ in 0..6 {
        Request::get(&home.door(), "/").unwrap();
    }
    let text = scrape(port);
    assert_eq!(sum(&text, "maitred_instance_up", &[]), 2.0);
    assert_eq!(sum(&text, "maitred_instance_ready", &[]), 2.0);
    assert_eq!(sum(&text, "maitred_connections_total", &[]), 6.0);
    for instance in ["instance_number=\"0\"", "instance_number=\"1\""] {
        assert_eq!(
            sum(&text, "maitred_worker_connections_total", &[instance]),
            3.0
        );
        assert!(sum(&text, "maitred_instance_cpu_seconds_total", &[instance]) > 0.0);
        assert!(sum(&text, "maitred_instance_resident_memory_bytes", &[instance]) > 1e6);
        assert!(sum(&text, "maitred_instance_open_descriptors", &[instance]) > 3.0);
    }

    home.does(&["restart", "api"]);
    home.does(&["reload", "api"]);
    for _ in 0..6 {
        Request::get(&home.door(), "/").unwrap();
    }
    let later = scrape(port);
    assert_eq!(sum(&later, "maitred_connections_total", &[]), 12.0);
    let restarts = |reason: &str| {
        let reason = format!("reason=\"{reason}\"");
        sum(&later, "maitred_instance_restarts_total", &[&reason])
    };
    assert_eq!(restarts("command"), 4.0);
    assert_eq!(
        sum(&later, "maitred_reloads_total", &["outcome=\"completed\""]),
        1.0
    );
    // A counter never goes back; processor time begins anew with each process, as it says.
    let later = samples(&later);
    for (name, before) in samples(&text) {
        if name.contains("_total{") && !name.starts_with("maitred_instance_cpu") {
            assert!(later[&name] >= before, "{name}: {before}, {}", later[&name]);
        }
    }
}

#[test]
fn the_command_prints_what_the_endpoint_serves() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    home.file("other.sh", "sleep 1000");
    home.does(&["start", "server.js", "--per", "request", "--name", "api"]);
    home.does(&[
        "start",
        "other.sh",
        "--name",
        "other",
        "--namespace",
        "jobs",
    ]);
    home.is_up("api", 1);
    for _ in 0..3 {
        Request::get(&home.door(), "/").unwrap();
    }
    let all = home.does(&["metrics"]);
    assert_eq!(sum(&all, "maitred_app_info", &[]), 2.0);
    assert_eq!(
        sum(&all, "maitred_requests_total", &["outcome=\"answered\""]),
        3.0
    );
    assert_eq!(
        sum(
            &all,
            "maitred_app_info",
            &["app=\"other\"", "namespace=\"jobs\""]
        ),
        1.0
    );
    let one = home.does(&["metrics", "other"]);
    assert_eq!(sum(&one, "maitred_app_info", &[]), 1.0);
    assert!(!one.contains("app=\"api\""));
    home.does(&["stop", "other"]);
    // What does not run has nothing to measure.
    assert_eq!(home.does(&["metrics", "other"]), "# EOF\n");
    home.fails(&["metrics", "nothing"]);
}

#[test]
fn probes_tell_running_from_ready() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("slow.js", "setTimeout(() => {}, 1e9);");
    let port = free_port();
    let number = port.to_string();
    let mut command = home.command(&["start", "slow.js", "--name", "slow", "--metrics", &number]);
    command
        .args(["--wait-ready", "--listen-timeout", "60000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut starting = command.spawn().unwrap();
    opens(port);
    let answers = |path: &str| ask(port, "GET", path, "*/*").0;
    assert_eq!(answers("/livez"), 200);
    assert_eq!(answers("/readyz"), 503, "it has not said that it is ready");
    assert_eq!(answers("/"), 404);
    assert_eq!(ask(port, "POST", "/metrics", "*/*").0, 405);
    let (status, plain) = ask(port, "GET", "/metrics", "*/*");
    assert_eq!(status, 200);
    assert!(plain.contains("text/plain; version=0.0.4"), "{plain}");
    home.does(&["delete", "slow"]);
    let _ = starting.wait();
}

/// Whoever holds all connections of the endpoint keeps no probe out, nor anybody who came late.
#[test]
fn silent_clients_keep_no_probe_out() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("app.js", NODE_SERVER);
    let port = free_port();
    home.does(&["start", "app.js", "--metrics", &port.to_string()]);
    let silent: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    assert_eq!(ask(port, "GET", "/readyz", "*/*").0, 200);
    let (first, last) = (&silent[0], &silent[39]);
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let ended = (&*first).read(&mut [0]);
    assert!(matches!(ended, Ok(0)), "{ended:?}");
    // It is not that their time was over.
    last.set_nonblocking(true).unwrap();
    let error = (&*last).read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

/// In the background, with logs and without, and in the foreground.
#[test]
fn what_instances_write_is_counted_by_the_byte() {
    let _turn = beside_others();
    let talks =
        "process.stdout.write('12345\\n'); console.error('12'); setInterval(() => {}, 1e6);";
    let ways: [&[&str]; 3] = [&["start"], &["start", "--disable-logs"], &["run"]];
    for way in ways {
        let home = Home::new();
        home.file("talks.js", talks);
        let port = free_port();
        let address = port.to_string();
        let flags = ["talks.js", "-i", "2", "--metrics", &address];
        let mut command = home.command(&[way, &flags].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        opens(port);
        until_it_is("all output is counted", || {
            let text = scrape(port);
            ["out", "err"].map(|stream| {
                let label = format!("stream=\"{stream}\"");
                sum(&text, "maitred_log_bytes_total", &[&label])
            }) == [12.0, 6.0]
        });
        if way == ["run"] {
            let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
        }
        child.wait().unwrap();
    }
}

#[test]
fn an_address_that_is_taken_is_named_and_tried_again() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    home.does(&[
        "start",
        "server.js",
        "--name",
        "api",
        "--metrics",
        &port.to_string(),
    ]);
    home.is_up("api", 1);
    let log = home.path().join("apps/api/supervisor.log");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = fs::read_to_string(&log).unwrap_or_default();
        if said.contains(&format!(
            "cannot serve the metrics of api at 127.0.0.1:{port}"
        )) {
            break;
        }
        assert!(Instant::now() < deadline, "{said}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(taken);
    opens(port);
    assert_eq!(sum(&scrape(port), "maitred_instance_up", &[]), 1.0);
}

/// A Prometheus, which ends with the test.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(home: &Home, target: u16) -> Self {
        let port = free_port();
        let rules = repository().join("deploy/observability/alerts.yaml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{rules:?}]\n\
             scrape_configs:\n\
             - job_name: maitred\n  static_configs: [{{ targets: ['127.0.0.1:{target}'] }}]\n"
        );
        let config = home.file("prometheus.yml", &config);
        let child = Command::new(tool("prometheus"))
            .arg("--config.file")
            .arg(config)
            .arg("--storage.tsdb.path")
            .arg(home.folder().join("tsdb"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(home.folder().join("prometheus.log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, port }
    }

    /// The value of a query, as soon as it is as wanted.
    fn tells(&self, query: &str, wanted: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        loop {
            let found = TcpStream::connect(("127.0.0.1", self.port))
                .is_ok()
                .then(|| {
                    let path = format!("/api/v1/query?query={encoded}");
                    let (_, answer) = ask(self.port, "GET", &path, "*/*");
                    let body = answer.split_once("\n\n").unwrap().1;
                    let start = body.find('{').unwrap_or(0);
                    let end = body.rfind('}').map_or(0, |at| at + 1);
                    let answer: Value = serde_json::from_str(&body[start..end]).unwrap_or_default();
                    let value = answer["data"]["result"][0]["value"][1]
                        .as_str()
                        .map(str::to_owned);
                    value.and_then(|value| value.parse::<f64>().ok())
                });
            if found.flatten().is_some_and(&wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "{query}: {found:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_real_prometheus_reads_them() {
    let _turn = beside_others();
    let home = Home::new();
    home.file("server.js", NODE_SERVER);
    let port = free_port();
    home.does(&[
        "start",
        "server.js",
        "-i",
        "3",
        "--per",
        "request",
        "--balance",
        "round_robin",
        "--name",
        "api",
        "--metrics",
        &port.to_string(),
    ]);
    home.is_up("api", 3);
    let prometheus = Prometheus::start(&home, port);
    for _ in 0..9 {
        let Door::Tcp(address) = home.door() else {
            panic!("not a TCP app");
        };
        Request::over(TcpStream::connect(address).unwrap(), "/").unwrap();
    }
    prometheus.tells("sum(maitred_instance_ready{app=\"api\"})", |it| it == 3.0);
    prometheus.tells("sum(maitred_requests_total{outcome=\"answered\"})", |it| {
        it == 9.0
    });
    prometheus.tells("sum(maitred_responses_total{code=\"2xx\"})", |it| it == 9.0);
    prometheus.tells("sum(maitred_time_to_first_byte_seconds_count)", |it| {
        it == 9.0
    });
    // Three each: exact rotation shows.
    prometheus.tells("min(maitred_worker_requests_total)", |it| it == 3.0);
    prometheus.tells("max(maitred_worker_requests_total)", |it| it == 3.0);
    let (_, plain) = ask(port, "GET", "/metrics", "*/*");
    let (_, plain) = plain.split_once("\n\n").unwrap();
    passes("promtool", &["check", "metrics"], plain);
}

#[test]
fn the_alert_rules_do_what_their_tests_say() {
    let folder = "deploy/observability";
    passes(
        "promtool",
        &["check", "rules", &format!("{folder}/alerts.yaml")],
        "",
    );
    passes(
        "promtool",
        &["test", "rules", &format!("{folder}/alerts.test.yaml")],
        "",
    );
}
