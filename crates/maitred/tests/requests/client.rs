//! A client that sends the bytes it is told to, and reads one response after another.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde_json::Value;

use crate::harness::{Door, PATIENCE, Run, read_some};

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Read, and not used yet.
    rest: Vec<u8>,
}

/// Opens a connection from this address.
pub(crate) fn connect_from(from: [u8; 4], to: SocketAddr) -> std::io::Result<TcpStream> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from((from, 0)))?;
    rustix::net::connect(&socket, &to)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn instance(&self) -> String {
        self.json()["instance"].as_str().unwrap().to_owned()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.eq_ignore_ascii_case(name)).then(|| value.trim().to_owned())
        })
    }
}

impl Client {
    pub(crate) fn connect(run: &Run) -> Client {
        let Door::Tcp(address) = run.door() else {
            panic!("not a TCP app");
        };
        Client::connect_to(address)
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Client {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(stream)
    }

    pub(crate) fn over(stream: TcpStream) -> Client {
        Client {
            stream,
            rest: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Asks for a path, on a connection that goes on.
    pub(crate) fn ask(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }

    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.ask(path);
        self.response()
    }

    /// Reads more; `false` at the end.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 64 * 1024];
        let len = read_some(&mut self.stream, &mut bytes)?;
        self.rest.extend_from_slice(&bytes[..len]);
        Ok(len > 0)
    }

    fn more(&mut self, what: &str) {
        assert!(
            self.read().unwrap(),
            "the connection ended before {what}, after {:?}",
            String::from_utf8_lossy(&self.rest)
        );
    }

    /// All up to this, which is not part of it.
    pub(crate) fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .rest
                .windows(end.len())
                .position(|it| it == end.as_bytes());
            if let Some(at) = found {
                let text = self.rest.drain(..at + end.len()).take(at).collect();
                return String::from_utf8(text).unwrap();
            }
            self.more(end);
        }
    }

    fn exactly(&mut self, len: usize) -> Vec<u8> {
        while self.rest.len() < len {
            self.more("the whole body");
        }
        self.rest.drain(..len).collect()
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> (u16, String) {
        let head = self.until("\r\n\r\n");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head)
    }

    /// The next response to GET or POST.
    pub(crate) fn response(&mut self) -> Response {
        let (status, head) = self.head();
        let mut response = Response {
            status,
            head,
            body: Vec::new(),
        };
        if let Some(length) = response.field("content-length") {
            response.body = self.exactly(length.parse().unwrap());
        } else if response.field("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                response.body.extend(chunk);
            }
        } else {
            while self.read().unwrap() {}
            response.body = std::mem::take(&mut self.rest);
        }
        response
    }

    /// The next chunk; none at the end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.until("\r\n"), 16).unwrap();
        let data = self.exactly(size);
        self.until("\r\n");
        (size > 0).then_some(data)
    }

    /// What comes until the connection ends, by its end or by force.
    pub(crate) fn all_the_rest(&mut self) -> Vec<u8> {
        while matches!(self.read(), Ok(true)) {}
        std::mem::take(&mut self.rest)
    }
}
