//! Scrapes as Prometheus makes them, but more often.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

const PATIENCE: Duration = Duration::from_secs(20);
/// What every answer of an app that listens has.
const COUNTED: &str = "\nmaitred_connections_total{";
const END: &str = "\n# EOF\n";

/// A thread that scrapes the endpoint again and again, until [`Self::finish`].
pub(super) struct Scraper {
    end: Sender<()>,
    thread: JoinHandle<Result<u32>>,
}

impl Scraper {
    /// Scrapes for the first time after half of `every`, then at that interval: `n` times in `n` intervals.
    pub(super) fn start(port: u16, every: Duration) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || scrape_until(&ended, port, every));
        Self { end, thread }
    }

    /// How often it has scraped.
    pub(super) fn finish(self) -> Result<u32> {
        // It may have failed, and says so itself.
        let _ = self.end.send(());
        let joined = self.thread.join();
        joined.unwrap_or_else(|_| Err(anyhow!("the thread that scrapes failed")))
    }
}

fn scrape_until(ended: &Receiver<()>, port: u16, every: Duration) -> Result<u32> {
    let started = Instant::now();
    let mut scrapes = 0;
    loop {
        let next = every / 2 + every * scrapes;
        match ended.recv_timeout(next.saturating_sub(started.elapsed())) {
            Err(RecvTimeoutError::Timeout) => scrape(port)?,
            _ => return Ok(scrapes),
        };
        scrapes += 1;
    }
}

/// Asks for the metrics once, and reads them whole. How many bytes came.
pub(super) fn scrape(port: u16) -> Result<usize> {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.write_all(
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
              Accept: application/openmetrics-text;version=1.0.0\r\n\r\n",
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().context("scraping")?;
    if !is_whole(&answer) {
        bail!("the metrics are not what they should be:\n{answer}");
    }
    Ok(answer.len())
}

fn is_whole(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ") && answer.contains(COUNTED) && answer.ends_with(END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_whole_or_refused() {
        let body = format!("# TYPE it counter{COUNTED}}} 1{END}");
        assert!(is_whole(&format!("HTTP/1.1 200 OK\r\n\r\n{body}")));
        assert!(!is_whole(&format!("HTTP/1.1 503 No\r\n\r\n{body}")));
        assert!(!is_whole(&format!("HTTP/1.1 200 OK\r\n\r\n{END}")));
        let cut = &body[..body.len() - 1];
        assert!(!is_whole(&format!("HTTP/1.1 200 OK\r\n\r\n{cut}")));
    }
}
