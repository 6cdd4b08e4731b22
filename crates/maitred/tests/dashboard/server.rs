//! A dashboard under test, and a client that says just what a test wants.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::PATIENCE;
use crate::home::Home;

/// A dashboard of a home's apps; it ends with this.
pub(crate) struct Dashboard {
    child: Child,
    pub(crate) port: u16,
    pub(crate) token: String,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The value of a field of the head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let field = fields.find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value)
    }
}

impl Dashboard {
    pub(crate) fn of(home: &Home) -> Self {
        Self::with(home, &[])
    }

    /// With these flags as well.
    pub(crate) fn with(home: &Home, flags: &[&str]) -> Self {
        let arguments = [&["dashboard", "--listen", "127.0.0.1:0"], flags].concat();
        let mut command = home.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let (address, token) = line.trim().split_once("/?token=").unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        let token = token.to_owned();
        let dashboard = Self { child, port, token };
        dashboard.until("apps are looked at", |it| {
            it.get("/livez", "").status == 200
        });
        dashboard
    }

    /// The address that is printed, to be opened.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request as it stands here, but for the end of its head.
    pub(crate) fn sends(&self, head: &str, body: &str) -> Answer {
        let mut stream = self.connect();
        let request = format!("{head}\r\nConnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    /// The fields of one who may ask.
    pub(crate) fn own(&self) -> String {
        format!(
            "Host: 127.0.0.1:{}\r\nAuthorization: Bearer {}",
            self.port, self.token
        )
    }

    /// Asks without a token, with these fields.
    pub(crate) fn get(&self, path: &str, fields: &str) -> Answer {
        let line = if fields.is_empty() { "" } else { "\r\n" };
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}{line}{fields}",
            self.port
        );
        self.sends(&head, "")
    }

    /// Asks with the token; the answer has to be a good one.
    pub(crate) fn tells(&self, path: &str) -> Value {
        let answer = self.sends(&format!("GET {path} HTTP/1.1\r\n{}", self.own()), "");
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        answer.json()
    }

    /// Orders something, with the token.
    pub(crate) fn orders(&self, path: &str, body: &str) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\n{}\r\nContent-Type: application/json\r\nContent-Length: {}",
            self.own(),
            body.len()
        );
        self.sends(&head, body)
    }

    /// Ends it as a user or a supervisor does; its exit code.
    pub(crate) fn ends_on(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Waits until it is so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(std::time::Instant::now() < deadline, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// The session that the token is exchanged for, as a browser sends it.
    pub(crate) fn session(&self) -> String {
        let path = format!("/?token={}", self.token);
        let answer = self.get(&path, "");
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.field("set-cookie").unwrap();
        let (session, rest) = cookie.split_once(';').unwrap();
        assert_eq!(rest, " Path=/; HttpOnly; SameSite=Strict");
        session.to_owned()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
