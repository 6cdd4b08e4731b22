//! Rows of `describe`: what a start waits for, what is spoken at a listener.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::harness::{PATIENCE, Request, beside_others};
use crate::home::{Home, NODE_SERVER};

/// The value of a row of `describe`.
fn row(described: &str, name: &str) -> String {
    let line = described
        .lines()
        .find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("{name}: {described}"));
    line.trim_start()[name.len()..].trim().to_owned()
}

/// What a start waits for, in each way to be up: a listener, the listener of the one before,
/// Node's "ready", the schedule.
#[test]
fn what_is_waited_for_is_described() {
    let _turn = beside_others();
    let home = Home::new();
    // It listens when the file is there.
    let server = format!(
        "const fs = require('fs');
         const wait = () => fs.existsSync('go') ? serve() : setTimeout(wait, 5);
         const serve = () => {{ {NODE_SERVER} }};
         console.log('begun');
         wait();"
    );
    home.file("server.js", &server);
    home.file("go", "");
    let said = home.run(&["start", "server.js", "-i", "1", "--name", "api"]);
    let listens = format!("api listens on http://localhost:{}\n", home.port);
    assert!(said.errors.contains(&listens), "{said:?}");
    home.is_up("api", 1);
    assert_eq!(row(&home.does(&["describe", "api"]), "waits for"), "-");

    // The successor is awaited where its predecessor listens.
    std::fs::remove_file(home.folder().join("go")).unwrap();
    let lines = home.follow("api");
    while lines.next() != "begun" {}
    let mut reload = home.command(&["reload", "api"]);
    let mut reload = reload
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while lines.next() != "begun" {}
    let port = home.port;
    let awaited = row(&home.does(&["describe", "api"]), "waits for");
    assert!(awaited.starts_with("a listener on "), "{awaited}");
    assert!(awaited.ends_with(&format!(":{port}")), "{awaited}");
    home.file("go", "");
    assert!(reload.wait().unwrap().success());
    assert_eq!(row(&home.does(&["describe", "api"]), "waits for"), "-");

    home.file("job.js", "setInterval(() => {}, 1e6)");
    home.run(&["start", "job.js", "--wait-ready", "--listen-timeout", "300"]);
    let described = home.does(&["describe", "job"]);
    assert_eq!(row(&described, "waits for"), "process.send(\"ready\")");

    home.file("once.sh", "exit 0\n");
    home.does(&[
        "start",
        "once.sh",
        "--no-autorestart",
        "--cron",
        "0 0 1 1 *",
    ]);
    let status = row(&home.does(&["describe", "once"]), "status");
    assert!(
        status.ends_with("its schedule or a changed file starts it"),
        "{status}"
    );
}

/// An app that does not speak HTTP where it should is named for what it speaks, with what to do; one
/// that does, or where nothing is expected, is not.
#[test]
fn what_an_app_speaks_instead_of_http_is_described() {
    let _turn = beside_others();
    let tls = "const fs = require('fs');
        const files = { key: fs.readFileSync('one.test.key'), cert: fs.readFileSync('one.test.pem') };
        require('https').createServer(files, (_, answer) => answer.end('ok'))
            .listen(process.env.PORT, () => console.log('up'));";
    let other = "require('net')
        .createServer((socket) => socket.on('data', () => socket.write('-ERR unknown\\r\\n')))
        .listen(process.env.PORT, () => console.log('up'));";
    let first = "require('net').createServer((socket) => socket.end('220 here\\r\\n'))
        .listen(process.env.PORT, () => console.log('up'));";
    for (app, per, spoken) in [
        (tls, "request", "the app speaks TLS"),
        (
            other,
            "request",
            "the app answered a request with something that is not HTTP",
        ),
        (first, "request", "the app speaks before its clients do"),
        (NODE_SERVER, "request", ""),
        (tls, "connection", ""),
    ] {
        let home = Home::new();
        certificate(&home);
        home.file("app.js", app);
        let flags = ["-i", "1", "--name", "app", "--per", per];
        home.does(&[&["start", "app.js"], &flags[..]].concat());
        home.is_up("app", 1);
        // What is spoken shows when clients come.
        let deadline = Instant::now() + PATIENCE;
        let sockets = loop {
            if app == first {
                // Its clients wait for what it has to say.
                let mut client = std::net::TcpStream::connect(("127.0.0.1", home.port)).unwrap();
                assert!(client.read(&mut [0; 4]).unwrap() > 0);
            } else {
                drop(Request::get(&home.door(), "/"));
            }
            let sockets = row(&home.does(&["describe", "app"]), "shared sockets");
            if sockets.contains(spoken) || Instant::now() > deadline {
                break sockets;
            }
        };
        let (address, what) = sockets
            .split_once(" (1)")
            .unwrap_or_else(|| panic!("{sockets}"));
        assert!(address.ends_with(&format!(":{}", home.port)), "{sockets}");
        if spoken.is_empty() {
            assert_eq!(what, "", "{sockets}");
        } else {
            assert!(what.starts_with(&format!(": {spoken}")), "{sockets}");
            assert!(what.contains("per: connection"), "{sockets}");
        }
    }
}

pub(crate) fn certificate(home: &Home) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    openssl.args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=one.test", "-keyout", "one.test.key"]);
    openssl.args(["-out", "one.test.pem"]);
    let made = openssl.current_dir(home.folder()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}
