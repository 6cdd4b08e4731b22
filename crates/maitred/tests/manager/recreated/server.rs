//! What a client finds at an app that is a server.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};

use crate::changes::App;
use crate::harness::PATIENCE;

impl App<'_> {
    pub(super) fn port(&self) -> u16 {
        let port = self.instances()[0]["pm2_env"]["PORT"].clone();
        u16::try_from(port.as_u64().unwrap()).unwrap()
    }

    /// Sends this over a connection of its own.
    pub(super) fn connects(&self, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    }

    /// Asks for a path, with more fields.
    pub(super) fn get(&self, path: &str, fields: &str) -> String {
        rest(self.connects(&request(path, fields)))
    }

    /// A request that is in progress, and stays so.
    pub(super) fn hold(&self) -> TcpStream {
        let stream = self.connects(&request("/hold", ""));
        self.writes("holds", 1);
        stream
    }

    /// What its access log says of one request, when the app has ended.
    pub(super) fn access(&self, file: &str) -> String {
        self.get("/", "");
        self.home.does(&["stop", self.name]);
        fs::read_to_string(self.path(file)).unwrap()
    }

    pub(super) fn curl(&self, certificate: &str) -> String {
        let port = self.port();
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "--resolve"])
            .arg(format!("{certificate}.test:{port}:127.0.0.1"))
            .arg("--cacert")
            .arg(self.path(&format!("{certificate}.pem")))
            .arg(format!("https://{certificate}.test:{port}/"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether its process has the listening socket itself.
    pub(super) fn has_listener(&self, port: u16) -> bool {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let ending = format!(":{port:04X}");
        let sockets: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words[1].ends_with(&ending) && words[3] == "0A")
            .map(|words| format!("socket:[{}]", words[9]))
            .collect();
        self.has_any(&sockets)
    }

    /// Whether its process itself has a socket of this name.
    pub(super) fn has_unix_socket(&self, name: &str) -> bool {
        let table = fs::read("/proc/net/unix").unwrap();
        let table = String::from_utf8_lossy(&table);
        let sockets: Vec<_> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words.last().is_some_and(|path| path.ends_with(name)))
            .map(|words| format!("socket:[{}]", words[6]))
            .collect();
        self.has_any(&sockets)
    }

    pub(super) fn has_any(&self, sockets: &[String]) -> bool {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let mut links = files.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
        links.any(|link| sockets.iter().any(|socket| link.as_os_str() == &**socket))
    }

    pub(super) fn identity(&self, of: &str) -> String {
        let status = self.proc("status");
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix(of)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    }
}

pub(super) fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

/// What still comes over a connection; one that is reset ends too.
pub(super) fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(text).unwrap(),
    }
}

/// What comes over the first of two connections over which something comes.
pub(super) fn first(a: TcpStream, b: TcpStream) -> String {
    let mut both = [
        PollFd::new(&a, PollFlags::IN),
        PollFd::new(&b, PollFlags::IN),
    ];
    poll(&mut both, None).unwrap();
    let of_a = !both[0].revents().is_empty();
    rest(if of_a { a } else { b })
}

pub(super) fn is(answer: &str, status: u16) {
    let expected = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&expected), "not {status}: {answer:?}");
}
