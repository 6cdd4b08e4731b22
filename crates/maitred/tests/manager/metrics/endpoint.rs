//! Asking the metrics endpoint, and reading what it answers.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;

use crate::harness::{PATIENCE, Request, free_port};
use crate::wait::until_it_is;

/// Two free ports, the same ones each time.
pub(crate) fn two_ports() -> [u16; 2] {
    static PORTS: OnceLock<[u16; 2]> = OnceLock::new();
    *PORTS.get_or_init(|| [free_port(), free_port()])
}

/// Waits until the endpoint answers at this port.
///
/// It is not enough that something listens: a process that another test starts at this moment holds what this
/// one listened at until it executes its program, and ends such connections.
pub(crate) fn opens(port: u16) {
    until_it_is("the endpoint answers", || {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else {
            return false;
        };
        Request::over(stream, "/livez").is_ok_and(|answer| answer.status == 200)
    });
}

/// The samples of a text: each name with its labels, and its value.
pub(super) fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    samples.collect()
}

/// The sum of all samples of this name whose labels have all of these.
pub(crate) fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let of_it = |sample: &&(String, f64)| {
        let (found, rest) = sample.0.split_once('{').unwrap();
        found == name && labels.iter().all(|label| rest.contains(label))
    };
    let samples: Vec<_> = samples(text).into_iter().collect();
    let found: Vec<_> = samples.iter().filter(of_it).collect();
    assert!(!found.is_empty(), "{name} {labels:?}\n{text}");
    found.iter().map(|(_, value)| value).sum()
}

/// Asks the endpoint: the status, and the rest of the answer.
pub(crate) fn ask(port: u16, method: &str, path: &str, accept: &str) -> (u16, String) {
    ask_with(
        port,
        &format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: {accept}"),
    )
}

/// The same with a head whose end is missing.
pub(crate) fn ask_with(port: u16, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("{head}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, format!("{head}\n\n{body}"))
}

pub(crate) fn scrape(port: u16) -> String {
    let (status, answer) = ask(port, "GET", "/metrics", "application/openmetrics-text");
    assert_eq!(status, 200, "{answer}");
    let (head, body) = answer.split_once("\n\n").unwrap();
    assert!(head.contains("application/openmetrics-text"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    body.to_owned()
}
