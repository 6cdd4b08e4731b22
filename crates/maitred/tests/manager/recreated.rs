//! Changed fields that a supervisor keeps as long as it lives: a reload refuses them and names
//! them, and a restart with the file puts them into effect, with another supervisor.

mod server;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::changes::{App, Row, row};
use crate::harness::{beside_others, free_port};
use crate::home::{Home, ended};
use server::{first, is, request, rest};

/// Fields that a supervisor keeps as long as it lives, so that a restart brings another one.
pub(crate) const OF_SUPERVISORS: [&str; 29] = [
    "exec_mode",
    "per",
    "balance",
    "max_connections",
    "queue",
    "queue_timeout",
    "keep_alive_timeout",
    "max_concurrency",
    "client_limit",
    "retry",
    "trust_proxy",
    "proxy_protocol",
    "tls_cert",
    "tls_key",
    "instance_header",
    "access_log",
    "access_log_format",
    "max_head",
    "max_fields",
    "max_body",
    "response_timeout",
    "header_timeout",
    "idle_timeout",
    "half_closed_clients",
    "private_ports",
    "private_paths",
    "privileged_ports",
    "uid",
    "gid",
];

/// Answers with the fields of the request.
const SERVER: &str = "
const fs = require('fs'), { LISTEN, PORT, name } = process.env;
require('http').createServer((request, response) => {
    const { url, headers } = request;
    if (url === '/hold') return console.log('holds');
    if (url === '/late') return setTimeout(() => response.end('late'), 300);
    if (url === '/die' && !fs.existsSync(name + '.died')) {
        fs.writeFileSync(name + '.died', '');
        process.exit(1);
    }
    if (url === '/idle') {
        request.socket.on('close', () => console.log('closed'));
        response.on('finish', () => setTimeout(() => request.socket.destroy(), 50));
    }
    request.resume();
    response.end(JSON.stringify(headers));
}).listen(LISTEN || PORT, '127.0.0.1', () => console.log('hello'));
";

/// Makes a certificate for a name with a key that is there.
const CERTIFICATE: [&str; 6] = ["req", "-x509", "-days", "2", "-key", "key.pem"];

/// One field of a server whose requests are placed, with more fields beside it.
fn by_request(
    field: &'static str,
    before: Value,
    after: Value,
    more: &Value,
    probe: fn(&App<'_>),
) -> Row {
    let mut beside = json!({
        "script": "server.js", "port": free_port(), "instances": 1, "per": "request",
    });
    let fields = beside.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    row(field, before, after, probe).beside(beside)
}

fn of_sockets() -> Vec<Row> {
    let port = free_port();
    let server = |more: Value| {
        let mut beside = json!({ "script": "server.js", "port": free_port() });
        let fields = beside.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        beside
    };
    vec![
        row("exec_mode", json!("fork"), json!("cluster"), |app| {
            assert!(!app.has_listener(app.port()));
        })
        .beside(server(json!({ "instances": 1 }))),
        row("per", json!("connection"), json!("request"), |app| {
            assert!(app.get("/", "").contains("x-real-ip"));
        })
        .beside(server(json!({ "instances": 1 }))),
        row("max_connections", json!(1000), json!(1), |app| {
            let _held = app.hold();
            assert_eq!(app.get("/", ""), "");
        })
        .beside(server(json!({ "instances": 1, "queue_timeout": "100ms" }))),
        row("keep_alive_timeout", Value::Null, json!("1h"), |app| {
            let mut stream = app.connects("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n");
            app.writes("closed", 1);
            stream.write_all(request("/", "").as_bytes()).unwrap();
            let answers = rest(stream);
            assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
        })
        .beside(server(json!({ "instances": 1 }))),
        row("private_ports", json!([]), json!([port]), |app| {
            assert!(app.has_listener(app.port()));
        })
        .beside(json!({ "script": "server.js", "port": port, "instances": 1 })),
        row("private_paths", json!([]), json!(["own-*.sock"]), |app| {
            assert!(app.has_unix_socket("own-1.sock"));
        })
        .beside(json!({
            "script": "server.js", "instances": 1, "env": { "LISTEN": "own-1.sock" },
        })),
    ]
}

fn of_placing() -> Vec<Row> {
    let none = json!({});
    let one = json!({ "max_concurrency": 1, "queue_timeout": "1h" });
    let two = json!({ "instances": 2 });
    vec![
        by_request(
            "balance",
            json!("round_robin"),
            json!("sticky"),
            &two,
            |app| {
                assert!(app.get("/", "").to_lowercase().contains("set-cookie"));
            },
        ),
        by_request("queue", json!(1000), json!(1), &one, |app| {
            let _held = app.hold();
            let others = [(); 2].map(|()| app.connects(&request("/", "")));
            let [a, b] = others;
            is(&first(a, b), 503);
        }),
        by_request(
            "queue_timeout",
            json!("1h"),
            json!("100ms"),
            &json!({ "max_concurrency": 1 }),
            |app| {
                let _held = app.hold();
                is(&app.get("/", ""), 503);
            },
        ),
        by_request(
            "max_concurrency",
            json!(1000),
            json!(1),
            &json!({ "queue_timeout": "100ms" }),
            |app| {
                let _held = app.hold();
                is(&app.get("/", ""), 503);
            },
        ),
        by_request("client_limit", json!(1000), json!(1), &none, |app| {
            let _held = app.hold();
            is(&app.get("/", ""), 429);
        }),
        by_request("retry", json!("none"), json!("idempotent"), &two, |app| {
            is(&app.get("/die", ""), 200);
        }),
        by_request(
            "trust_proxy",
            json!("10.0.0.0/8"),
            json!("127.0.0.0/8"),
            &none,
            |app| {
                let answer = app.get("/", "X-Forwarded-For: 1.2.3.4\r\n");
                assert!(answer.contains(r#""x-real-ip":"1.2.3.4""#), "{answer}");
            },
        ),
        by_request("proxy_protocol", json!(false), json!(true), &none, |app| {
            let header = "PROXY TCP4 1.2.3.4 127.0.0.1 5 80\r\n";
            let answer = rest(app.connects(&(header.to_owned() + &request("/", ""))));
            assert!(answer.contains(r#""x-real-ip":"1.2.3.4""#), "{answer}");
        }),
        by_request(
            "instance_header",
            json!("X-A"),
            json!("X-B"),
            &none,
            |app| {
                let answer = app.get("/", "").to_lowercase();
                assert!(
                    answer.contains("x-b: ") && !answer.contains("x-a: "),
                    "{answer}"
                );
            },
        ),
        by_request("access_log", json!("a1"), json!("a2"), &none, |app| {
            assert!(app.access("a2").contains("GET / HTTP/1.1"));
        }),
        by_request(
            "access_log_format",
            json!("combined"),
            json!("json"),
            &json!({ "access_log": "a3" }),
            |app| {
                assert!(app.access("a3").starts_with('{'));
            },
        ),
    ]
}

fn of_limits() -> Vec<Row> {
    let none = json!({});
    vec![
        by_request("max_body", json!("1M"), json!(10), &none, |app| {
            let text = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n";
            is(&rest(app.connects(text)), 413);
        }),
        by_request("max_head", json!("64k"), json!("2k"), &none, |app| {
            let field = format!("X-Long: {}\r\n", "x".repeat(4000));
            is(&app.get("/", &field), 431);
        }),
        by_request("max_fields", json!(1000), json!(10), &none, |app| {
            is(&app.get("/", &"X: y\r\n".repeat(20)), 431);
        }),
        by_request(
            "response_timeout",
            json!("1h"),
            json!("100ms"),
            &none,
            |app| {
                is(&app.get("/hold", ""), 504);
            },
        ),
        by_request(
            "header_timeout",
            json!("1h"),
            json!("100ms"),
            &none,
            |app| {
                is(&rest(app.connects("GET / HTTP/1.1\r\n")), 408);
            },
        ),
        by_request("idle_timeout", json!("1h"), json!("100ms"), &none, |app| {
            is(
                &rest(app.connects("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
                200,
            );
        }),
        by_request(
            "half_closed_clients",
            json!(false),
            json!(true),
            &none,
            |app| {
                let stream = app.connects(&request("/late", ""));
                stream.shutdown(Shutdown::Write).unwrap();
                is(&rest(stream), 200);
            },
        ),
        by_request(
            "tls_cert",
            json!("one.pem"),
            json!("two.pem"),
            &json!({ "tls_key": "key.pem" }),
            |app| {
                app.curl("two");
            },
        ),
        by_request(
            "tls_key",
            json!("gone.pem"),
            json!("copy.pem"),
            &json!({ "tls_cert": "one.pem" }),
            |app| {
                app.curl("one");
            },
        ),
    ]
}

/// Only root may choose users.
fn of_users() -> Vec<Row> {
    let sleeps = json!({ "script": "/bin/sleep", "args": ["1000"], "cwd": "/" });
    // Others may not bind any, and do not try these rows.
    let low = (600..1024)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap_or(600);
    let server = json!({
        "script": "server.js", "uid": "nobody", "instances": 1, "env": { "LISTEN": low },
    });
    vec![
        row("uid", Value::Null, json!("nobody"), |app| {
            assert_eq!(app.identity("Uid:"), "65534");
        })
        .beside(sleeps.clone()),
        row("gid", Value::Null, json!(65534), |app| {
            assert_eq!(app.identity("Gid:"), "65534");
        })
        .beside(sleeps),
        row("privileged_ports", json!([]), json!([low]), |app| {
            app.writes("hello", 1);
        })
        .beside(server),
    ]
}

/// Starts all apps as they are before. With the file as it is after, a reload changes nothing, and
/// the command puts it into effect.
fn changed(rows: &[Row], command: &str) {
    let home = Home::new();
    // For those of another user.
    fs::set_permissions(home.folder(), fs::Permissions::from_mode(0o755)).unwrap();
    home.file("server.js", SERVER);
    let openssl = |args: &[&str]| {
        let mut command = Command::new("openssl");
        let made = command.args(args).current_dir(home.folder()).output();
        assert!(made.as_ref().unwrap().status.success(), "{made:?}");
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    for name in ["one", "two"] {
        let names = [
            format!("/CN={name}.test"),
            format!("subjectAltName=DNS:{name}.test"),
        ];
        let file = format!("{name}.pem");
        let more = ["-subj", &names[0], "-addext", &names[1], "-out", &file];
        openssl(&[&CERTIFICATE[..], &more].concat());
    }
    for copy in ["copy.pem", "gone.pem"] {
        fs::copy(home.folder().join("key.pem"), home.folder().join(copy)).unwrap();
    }
    let write = |value: fn(&Row) -> &Value| {
        let apps: Vec<_> = rows.iter().map(|row| row.entry(value(row))).collect();
        home.file("apps.json", &json!(apps).to_string());
    };
    write(|row| &row.before);
    let said = home.run(&["start", "apps.json"]);
    // One that may not listen yet ends before it is up.
    let fails = rows.iter().any(|row| row.field == "privileged_ports");
    assert_eq!(said.code, i32::from(fails), "{said:?}");
    let app = |row: &Row, said| App {
        home: &home,
        name: row.field,
        said,
    };
    for row in rows
        .iter()
        .filter(|row| row.beside.get("uid").is_none() && row.beside["script"] == "server.js")
    {
        app(row, &said).writes("hello", 1);
    }
    let pids: Vec<_> = rows.iter().map(|row| app(row, &said).pid()).collect();
    write(|row| &row.after);
    let said = home.run(&["reload", "apps.json"]);
    assert_eq!(said.code, 1, "{said:?}");
    for Row { field, .. } in rows {
        let expected = format!("{field}: a changed {field} cannot be reloaded");
        assert!(said.errors.contains(&expected), "{field}: {}", said.errors);
    }
    for (row, pid) in rows.iter().zip(pids) {
        // One that may not listen yet ends again and again.
        if row.field != "privileged_ports" {
            assert_eq!(pid, app(row, &said).pid(), "{}", row.field);
        }
    }
    fs::remove_file(home.folder().join("gone.pem")).unwrap();
    let said = ended(home.command(&[command, "apps.json"]));
    for row in rows {
        println!("{}: {}", row.field, said.errors);
        let app = app(row, &said);
        let restarts = app.instances()[0]["pm2_env"]["restart_time"].clone();
        if !["privileged_ports", "retry"].contains(&row.field) {
            assert_eq!(restarts, 1, "{}", row.field);
        }
        (row.probe)(&app);
    }
}

#[test]
fn how_sockets_are_shared() {
    let _turn = beside_others();
    changed(&of_sockets(), "restart");
}

#[test]
fn how_requests_are_placed() {
    let _turn = beside_others();
    changed(&of_placing(), "restart");
}

#[test]
fn what_clients_may_do() {
    let _turn = beside_others();
    changed(&of_limits(), "start");
}

#[test]
fn whose_processes_they_are() {
    let _turn = beside_others();
    if rustix::process::geteuid().is_root() {
        changed(&of_users(), "restart");
    } else {
        // It is an error for all others.
        let home = Home::new();
        home.file(
            "apps.json",
            r#"{ "script": "/bin/sleep", "args": ["9"], "uid": 65533 }"#,
        );
        home.fails(&["start", "apps.json"]);
    }
}

/// There is a row for each of them.
#[test]
fn no_field_is_left_out() {
    let rows = [of_sockets(), of_placing(), of_limits(), of_users()];
    let rows: BTreeSet<_> = rows.iter().flatten().map(|row| row.field).collect();
    assert_eq!(rows, OF_SUPERVISORS.into_iter().collect());
}
