//! Requests that can be read in two ways, sent to maitred, nginx and HAProxy in the same run: who
//! lets them through to the app.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::apps::{node, started};
use crate::harness::{PATIENCE, beside_others, free_port, read_some};
use crate::refused::REFUSED;

/// A program that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The proxy refused it.
    Refused,
    /// The app got it, and answered.
    Passed,
    /// Neither came in time: the proxy waits for more.
    Silence,
}

/// Who has said nothing for so long waits for more.
const SILENCE: Duration = Duration::from_secs(3);

/// Sends the bytes, and reads the first response, which is awaited for so long. The app's own has a
/// field that a proxy's has not.
fn fate(port: u16, bytes: &[u8], patience: Duration) -> Fate {
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    client.set_read_timeout(Some(patience)).unwrap();
    // It may be refused before it is complete.
    let _ = client.write_all(bytes);
    let mut response = Vec::new();
    let mut part = [0; 4096];
    loop {
        match read_some(&mut client, &mut part) {
            Ok(0) => return Fate::Refused,
            Ok(len) => response.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                return Fate::Refused;
            }
            Err(_) => return Fate::Silence,
        }
        let text = String::from_utf8_lossy(&response);
        // An interim one decides nothing.
        let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            return if head.to_lowercase().contains("x-app:") {
                Fate::Passed
            } else {
                Fate::Refused
            };
        }
    }
}

/// An app that takes whatever it is given: it answers when the body is complete, as far as it can
/// be told. Returns its port.
fn credulous_app() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || answer(connection));
        }
    });
    port
}

fn answer(mut connection: TcpStream) {
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    while let Ok(len @ 1..) = connection.read(&mut part) {
        seen.extend_from_slice(&part[..len]);
        let text = String::from_utf8_lossy(&seen).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let is_complete = if head.contains("chunked") {
            body.contains("0\r\n")
        } else {
            body.len() >= length.unwrap_or(0)
        };
        if is_complete {
            let response =
                "HTTP/1.1 200 OK\r\nX-App: yes\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
            let _ = connection.write_all(response.as_bytes());
            return;
        }
    }
}

fn started_proxy(command: &mut Command, port: u16) -> Server {
    let server = Server(
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        std::thread::yield_now();
    }
    server
}

fn nginx(folder: &Path, app: u16) -> (Server, u16) {
    let port = free_port();
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {}/{kind};", folder.display()));
    let text = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log /dev/null;
         events {{}}
         http {{
           access_log off; {folders}
           server {{
             listen 127.0.0.1:{port};
             location / {{ proxy_pass http://127.0.0.1:{app}; proxy_http_version 1.1; }}
           }}
         }}",
        folder = folder.display(),
        folders = folders.concat(),
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("nginx");
    let mut command = Command::new(program);
    command.arg("-e").arg("/dev/null").arg("-c").arg(file);
    (started_proxy(&mut command, port), port)
}

fn haproxy(folder: &Path, app: u16) -> (Server, u16) {
    let port = free_port();
    let text = format!(
        "global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend all
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server app 127.0.0.1:{app}
"
    );
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("haproxy");
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    (started_proxy(&mut command, port), port)
}

#[test]
fn nothing_ambiguous_reaches_the_app_which_cannot_be_said_of_others() {
    let _turn = beside_others();
    let setup = node(
        "net.createServer((socket) => {
           let seen = '';
           socket.on('error', () => {});
           socket.on('data', (data) => {
             seen += data.toString('latin1').toLowerCase();
             const end = seen.indexOf('\\r\\n\\r\\n');
             if (end < 0) return;
             const [head, body] = [seen.slice(0, end), seen.slice(end + 4)];
             const length = Number(/content-length: (\\d+)/.exec(head)?.[1] ?? 0);
             const done = head.includes('chunked') ? body.includes('0\\r\\n') : body.length >= length;
             if (done) socket.end('HTTP/1.1 200 OK\\r\\nX-App: yes\\r\\nContent-Length: 2\\r\\n\\r\\nok');
           });
         }).listen(port);",
    );
    let folder = setup.folder().to_owned();
    let run = started(setup, 1);
    let crate::harness::Door::Tcp(address) = run.door() else {
        panic!("not a TCP app");
    };
    let app = credulous_app();
    let (_nginx, nginx) = nginx(&folder, app);
    let (_haproxy, haproxy) = haproxy(&folder, app);
    let ports = [address.port(), nginx, haproxy];
    let good = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let fates = ports.map(|port| fate(port, good, PATIENCE));
    assert_eq!(fates, [Fate::Passed; 3]);
    let mut table = String::new();
    let mut passed = [0; 3];
    // Side by side: who stays silent takes seconds.
    let fates: Vec<_> = std::thread::scope(|scope| {
        let cases = REFUSED.iter().map(|(what, bytes, _)| {
            let fate = |port| fate(port, bytes.as_bytes(), SILENCE);
            scope.spawn(move || (what, ports.map(fate)))
        });
        let cases: Vec<_> = cases.collect();
        cases.into_iter().map(|case| case.join().unwrap()).collect()
    });
    for (what, fates) in fates {
        writeln!(table, "{what:<40} {fates:?}").unwrap();
        for (passed, fate) in passed.iter_mut().zip(fates) {
            *passed += usize::from(fate == Fate::Passed);
        }
    }
    println!(
        "maitred, nginx, HAProxy:\n{table}passed: {passed:?} of {}",
        REFUSED.len()
    );
    let [ours, nginx, haproxy] = passed;
    assert_eq!(ours, 0, "{table}");
    assert!(ours <= nginx && ours <= haproxy);
}
