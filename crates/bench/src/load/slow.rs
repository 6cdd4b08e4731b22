//! Slow clients: each sends one byte a second, half of them of a head that never
//! ends, the other half of a body. Whom the server ends comes back.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
const BEFORE_BODY: &[u8] = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);

/// So many of them, until this is dropped.
pub(crate) struct SlowClients {
    end: Arc<AtomicBool>,
    ended: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

struct Slow {
    stream: TcpStream,
    sends_body: bool,
    /// Bytes of the head that have been sent.
    sent: usize,
}

impl SlowClients {
    /// All of them are connected when this returns, and have sent their first byte.
    pub(crate) fn start(port: u16, number: usize) -> Result<Self> {
        let mut clients = Vec::with_capacity(number);
        for n in 0..number {
            let mut slow = Slow::connect(port, n % 2 == 1)
                .with_context(|| format!("connecting slow client {}", n + 1))?;
            slow.send()
                .with_context(|| format!("sending from slow client {}", n + 1))?;
            clients.push(slow);
        }
        let (end, ended) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let thread = std::thread::spawn({
            let (end, ended) = (Arc::clone(&end), Arc::clone(&ended));
            move || drip(port, &mut clients, &end, &ended)
        });
        Ok(Self {
            end,
            ended,
            thread: Some(thread),
        })
    }

    /// How many the server has ended so far.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One byte of each in a second, and they take turns, evenly.
fn drip(port: u16, clients: &mut [Slow], end: &AtomicBool, ended: &AtomicU64) {
    let started = Instant::now();
    let pause = SECOND / u32::try_from(clients.len()).unwrap_or(u32::MAX).max(1);
    for turn in 0.. {
        for (slow, n) in clients.iter_mut().zip(1..) {
            if end.load(Ordering::Relaxed) {
                return;
            }
            let due = started + SECOND * turn + pause * n;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if slow.send().is_err() {
                ended.fetch_add(1, Ordering::Relaxed);
                // Who cannot come back now tries it again in a second.
                if let Ok(new) = Slow::connect(port, slow.sends_body) {
                    *slow = new;
                }
            }
        }
    }
}

impl Slow {
    fn connect(port: u16, sends_body: bool) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        if sends_body {
            stream.write_all(BEFORE_BODY)?;
        }
        // A server that reads nothing more must not hold up the others.
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            sends_body,
            sent: 0,
        })
    }

    fn send(&mut self) -> std::io::Result<()> {
        let byte = match HEAD.get(self.sent) {
            Some(byte) if !self.sends_body => *byte,
            _ => b'a',
        };
        self.sent += 1;
        match self.stream.write(&[byte]) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}
