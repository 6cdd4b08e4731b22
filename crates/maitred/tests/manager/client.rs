//! An HTTP client that never retries, step by step on one connection.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::harness::PATIENCE;

/// As much of a body is read at once.
const PIECE: usize = 64 * 1024;

/// A connection, and what its client does between two requests.
pub(crate) struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    pub(crate) pause: Duration,
    /// How long it waits before each piece of a body that it reads.
    pub(crate) reading: Duration,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Client {
            address,
            stream: BufReader::new(stream),
            pause: Duration::ZERO,
            reading: Duration::ZERO,
        })
    }

    pub(crate) fn connect(&mut self) -> io::Result<()> {
        *self = Client::new(self.address)?;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    pub(crate) fn send(&mut self, path: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
                .into_bytes();
        request.extend(body);
        self.write(&request)
    }

    /// Has the kernel take in little that is not read.
    pub(crate) fn takes_in_little(&self) -> io::Result<()> {
        Ok(set_socket_recv_buffer_size(self.stream.get_ref(), PIECE)?)
    }

    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "closed")),
            _ => Ok(line.trim_end().to_ascii_lowercase()),
        }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        for piece in bytes.chunks_mut(PIECE) {
            thread::sleep(self.reading);
            self.stream.read_exact(piece)?;
        }
        Ok(bytes)
    }

    /// Reads a response, which must have this body.
    pub(crate) fn receive(&mut self, expected: &[u8]) -> io::Result<()> {
        let status = self.line()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                _ if line.is_empty() => break,
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(("transfer-encoding", _)) => chunked = true,
                _ => {}
            }
        }
        let mut body = self.bytes(length)?;
        while chunked {
            let size = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
            body.extend(self.bytes(size)?);
            self.line()?;
            chunked = size > 0;
        }
        if status.starts_with("http/1.1 200") && body == expected {
            return Ok(());
        }
        Err(io::Error::other(format!("{status}, {} bytes", body.len())))
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<()> {
        self.send(path, body)?;
        self.receive(body)
    }

    /// Asks for this, which must be answered so.
    pub(crate) fn receives(&mut self, expected: &[u8], path: &str) {
        self.send(path, b"").unwrap();
        self.receive(expected).unwrap();
    }
}
