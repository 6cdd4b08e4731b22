//! The floods: what each sends, as fast as it can, until it is ended.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::Transport;
use crate::client::connect_from;
use crate::harness::{read_some, tool};
use crate::tls_client::tls;

/// An address of its own: it may use up all of its ports.
const FLOODER: [u8; 4] = [127, 0, 0, 3];
const HEADER: &[u8] = b"PROXY TCP4 203.0.113.2 127.0.0.1 1 2\r\n";

/// A client that floods, until it is told to end.
pub(super) struct Flooder {
    to: SocketAddr,
    is_over: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
    /// It has sent a first lot.
    begun: Sender<()>,
}

impl Flooder {
    pub(super) fn new(to: SocketAddr) -> (Self, Receiver<()>) {
        let (begun, has_begun) = mpsc::channel();
        let flooder = Self {
            to,
            is_over: AtomicBool::new(false),
            streams: Mutex::default(),
            begun,
        };
        (flooder, has_begun)
    }

    /// A connection that ends with the flood at the latest.
    fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = connect_from(FLOODER, self.to)?;
        self.streams.lock().unwrap().push(stream.try_clone()?);
        if self.is_over() {
            stream.shutdown(Shutdown::Both)?;
        }
        Ok(stream)
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn has_begun(&self) {
        let _ = self.begun.send(());
    }

    /// Sends one lot after the other until the other side ends it, and reads what is answered.
    fn send(&self, before: &[u8], lot: &dyn Fn(u32) -> Vec<u8>) -> std::io::Result<()> {
        let mut stream = self.connect()?;
        let mut answers = stream.try_clone()?;
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut room = vec![0; 64 * 1024];
                while matches!(read_some(&mut answers, &mut room), Ok(1..)) {}
            });
            let mut sent = stream.write_all(before);
            for n in 0.. {
                sent = sent.and_then(|()| stream.write_all(&lot(n)));
                self.has_begun();
                if sent.is_err() {
                    break;
                }
            }
            let _ = stream.shutdown(Shutdown::Both);
            sent
        })
    }
}

type Act = Box<dyn Fn(&Flooder) -> std::io::Result<()> + Sync>;

pub(super) struct Flood {
    pub(super) what: &'static str,
    pub(super) transport: Transport,
    pub(super) act: Act,
    /// It drives a loop of ours also where connections are handed to workers.
    pub(super) is_of_connections: bool,
    /// It is ended where requests are placed.
    pub(super) is_ended: bool,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The same bytes over and over.
fn bytes(what: &'static str, is_ended: bool, before: &[u8], part: &[u8]) -> Flood {
    let lot = part.repeat(64 * 1024 / part.len() + 1);
    let before = before.to_vec();
    Flood {
        what,
        transport: Transport::Plain,
        act: Box::new(move |flooder| flooder.send(&before, &|_| lot.clone())),
        is_of_connections: false,
        is_ended,
    }
}

fn resets(n: u32) -> Vec<u8> {
    let one = |at| {
        let stream = 2 * at + 1;
        let get = frame(1, 5, stream, &[0x82, 0x84, 0x86, 0x41, 1, b'a']);
        [get, frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    (n * 1000..(n + 1) * 1000).flat_map(one).collect()
}

/// So many connections of such a flood are open at a time.
const OPEN: usize = 64;

/// Connections one after the other, over each of which this is said before it is reset. (One that
/// is closed in order keeps its port for a minute, so that the flood would end by itself.)
fn connections(what: &'static str, transport: Transport, words: &'static [u8]) -> Flood {
    let act = move |flooder: &Flooder| {
        let mut open = VecDeque::new();
        while !flooder.is_over() {
            // Where no place is left, the next attempt may find one.
            if let Ok(mut stream) = connect_from(FLOODER, flooder.to) {
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                let _ = stream.write_all(words);
                open.push_back(stream);
            }
            if open.len() > OPEN {
                open.pop_front();
                flooder.has_begun();
            }
        }
        Ok(())
    };
    let act = Box::new(act);
    Flood {
        what,
        transport,
        act,
        is_of_connections: true,
        is_ended: false,
    }
}

/// Connections at the same time, over each of which this is said and nothing more.
fn silent(what: &'static str, transport: Transport, words: &'static [u8]) -> Flood {
    let act = move |flooder: &Flooder| {
        let mut held = Vec::new();
        for _ in 0..200 {
            let mut stream = flooder.connect()?;
            let _ = stream.write_all(words);
            held.push(stream);
        }
        flooder.has_begun();
        for mut stream in held {
            while matches!(read_some(&mut stream, &mut [0; 64]), Ok(1..)) {}
        }
        Ok(())
    };
    let act = Box::new(act);
    Flood {
        what,
        transport,
        act,
        is_of_connections: true,
        is_ended: false,
    }
}

const BODY: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n";

fn tiny_records(flooder: &Flooder) -> std::io::Result<()> {
    let mut stream = tls(flooder.connect()?, &[])?;
    stream.write_all(BODY)?;
    loop {
        for _ in 0..1000 {
            stream.write_all(b"a")?;
        }
        flooder.has_begun();
    }
}

fn key_updates(flooder: &Flooder) -> std::io::Result<()> {
    let mut stream = tls(flooder.connect()?, &[])?;
    loop {
        for _ in 0..100 {
            let updated = stream.conn.refresh_traffic_keys();
            updated.map_err(std::io::Error::other)?;
            while stream.conn.wants_write() {
                stream.conn.write_tls(&mut stream.sock)?;
            }
        }
        flooder.has_begun();
    }
}

fn handshakes(flooder: &Flooder) -> std::io::Result<()> {
    while !flooder.is_over() {
        if let Ok(stream) = connect_from(FLOODER, flooder.to) {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            // One that is cut short is no end of the flood.
            let _ = tls(stream, &[]);
        }
        flooder.has_begun();
    }
    Ok(())
}

/// In TLS 1.2 a client may ask for another handshake within the first one's connection.
fn renegotiation(flooder: &Flooder) -> std::io::Result<()> {
    let [a, b, c, d] = FLOODER;
    let program = format!(
        "const to = {{ host: '127.0.0.1', port: {}, localAddress: '{a}.{b}.{c}.{d}',
           maxVersion: 'TLSv1.2', rejectUnauthorized: false, servername: 'one.test' }};
         const socket = require('tls').connect(to, () => {{
           console.log('begun');
           const again = () => socket.renegotiate({{}}, again);
           again();
         }});
         socket.on('error', () => process.exit()).on('close', () => process.exit());
         setTimeout(() => process.exit(1), 120_000);",
        flooder.to.port()
    );
    let mut command = Command::new(tool("node"));
    let mut client = command
        .args(["-e", &program])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    if said.read_line(&mut line)? > 0 {
        flooder.has_begun();
    }
    match client.wait()?.success() {
        true => Ok(()),
        false => panic!("it goes on"),
    }
}

pub(super) fn floods() -> Vec<Flood> {
    let chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let settings = frame(4, 0, 0, b"");
    let preface = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        settings.clone(),
    ]
    .concat();
    let before = preface.clone();
    // A request's head that does not end.
    let head = frame(1, 1, 1, &[0x82, 0x84, 0x86, 0x41, 1, b'a']);
    let endless = [preface.clone(), head].concat();
    let secret = |what, act: fn(&Flooder) -> std::io::Result<()>, is_ended| Flood {
        what,
        transport: Transport::Tls,
        act: Box::new(act),
        is_of_connections: false,
        is_ended,
    };
    vec![
        bytes("PING", true, &preface, &frame(6, 0, 0, &[0; 8])),
        bytes("SETTINGS", true, &preface, &settings),
        bytes(
            "WINDOW_UPDATE",
            true,
            &preface,
            &frame(8, 0, 0, &[0, 0, 0, 1]),
        ),
        Flood {
            what: "resets",
            transport: Transport::Plain,
            act: Box::new(move |flooder| flooder.send(&before, &resets)),
            is_of_connections: false,
            is_ended: true,
        },
        bytes("CONTINUATION", true, &endless, &frame(9, 0, 1, b"")),
        bytes(
            "PRIORITY",
            true,
            &preface,
            &frame(2, 0, 1, &[0, 0, 0, 3, 0]),
        ),
        bytes(
            "requests in a row",
            false,
            b"",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        bytes("small chunks", false, chunked, b"1\r\na\r\n"),
        bytes("chunk extensions", true, chunked, b"1;a=b\r\na\r\n"),
        connections("connections", Transport::Plain, b""),
        silent("silence", Transport::Plain, b""),
        secret("tiny records", tiny_records, false),
        secret("key updates", key_updates, true),
        secret("handshakes", handshakes, false),
        secret("renegotiation", renegotiation, true),
        connections("PROXY headers", Transport::Proxied, HEADER),
        silent("slow PROXY headers", Transport::Proxied, b"PROXY TCP4 203."),
    ]
}
