//! A plain HTTP client that shows each step of a connection, and the rounds played with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::run::Run;

/// No single answer may take longer, and no process for its end: longer than any machine stalls.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What keeps a worker from answering anybody else, without using a CPU.
const PIECE_OF_WORK: &str = "/api?ms=200&how=sleep";

/// Reads what is there. Where a read has a time limit, it is interrupted when this process is
/// stopped and goes on.
pub(crate) fn read_some(from: &mut (impl Read + ?Sized), room: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(room) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Where an app listens.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One request on a connection of its own.
pub(crate) struct Request {
    stream: Box<dyn Stream>,
}

impl Request {
    /// Connects, and says nothing yet.
    pub(crate) fn connect(door: &Door) -> io::Result<Request> {
        let stream: Box<dyn Stream> = match door {
            Door::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Door::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        Ok(Request { stream })
    }

    pub(crate) fn send(&mut self, path: &str) -> io::Result<()> {
        let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.stream.write_all(text.as_bytes())
    }

    /// Reads the answer, up to the end of the connection.
    pub(crate) fn receive(mut self) -> io::Result<Answer> {
        let mut text = Vec::new();
        self.stream.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            let fault = format!("closed before a whole answer: {text:?}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, fault));
        };
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let chunked = head
            .to_ascii_lowercase()
            .contains("transfer-encoding: chunked");
        match status {
            Some(status) if !chunked => Ok(Answer {
                status,
                body: body.to_owned(),
            }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("unexpected: {head}"),
            )),
        }
    }

    /// Asks and reads on a connection that the test has opened itself.
    pub(crate) fn over(stream: TcpStream, path: &str) -> io::Result<Answer> {
        let mut request = Request {
            stream: Box::new(stream),
        };
        request.send(path)?;
        request.receive()
    }

    /// Connects, asks and reads.
    pub(crate) fn get(door: &Door, path: &str) -> io::Result<Answer> {
        let mut request = Request::connect(door)?;
        request.send(path)?;
        request.receive()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }

    /// Who answered: instance and process, so that a restarted worker is another one.
    pub(crate) fn worker(&self) -> String {
        let json = self.json();
        match (&json["instance"], &json["pid"]) {
            (Value::String(instance), Value::Number(pid)) => format!("{instance} (pid {pid})"),
            _ => panic!("not an answer of /api: {json}"),
        }
    }
}

/// Who answered how often, of `count` requests one after another, each on a new connection.
pub(crate) fn deal(door: &Door, path: &str, count: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for number in 0..count {
        match Request::get(door, path) {
            Ok(answer) => *shares.entry(answer.worker()).or_default() += 1,
            Err(error) => panic!("request {number} of {count}: {error}; until then {shares:?}"),
        }
    }
    shares
}

/// Plays rounds of as many simultaneous requests as there are workers: in each round, each of them
/// must answer exactly one.
///
/// Even rounds open all connections first and then write on all; in odd ones each connection has
/// a thread of its own, and its request follows at once. A round begins as soon as all that the one
/// before has set in motion has come to rest: whoever still works would be passed over.
pub(crate) fn rounds_of_simultaneous_requests(
    run: &mut Run,
    door: &Door,
    workers: usize,
    rounds: usize,
) {
    until_all_have_answered(door, workers);
    for round in 0..rounds {
        run.comes_to_rest();
        let start = Instant::now();
        let answers = if round % 2 == 0 {
            together(door, workers)
        } else {
            side_by_side(door, workers)
        };
        let took = start.elapsed();
        let who: Vec<String> = match answers {
            Ok(answers) => answers.iter().map(Answer::worker).collect(),
            Err(error) => panic!("round {round}: {error}"),
        };
        assert_eq!(
            who.iter().collect::<BTreeSet<_>>().len(),
            workers,
            "round {round} of {rounds} ({took:?}) did not give each worker a request: {who:?}\n{}",
            run.story()
        );
    }
}

/// The same at the app's port.
pub(crate) fn rounds_at_its_port(run: &mut Run, workers: usize, rounds: usize) {
    let door = run.door();
    rounds_of_simultaneous_requests(run, &door, workers, rounds);
}

/// A worker that has just begun to listen may still be busy with its start. One that has answered
/// is past that.
pub(crate) fn until_all_have_answered(door: &Door, workers: usize) {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = BTreeMap::<_, usize>::new();
    while seen.len() < workers {
        match Request::get(door, "/api?ms=0") {
            Ok(answer) => *seen.entry(answer.worker()).or_default() += 1,
            Err(error) => panic!("the first requests: {error}; answered so far: {seen:?}"),
        };
        let patient = Instant::now() < deadline;
        assert!(
            patient,
            "of {workers} workers, only some get any requests: {seen:?}"
        );
    }
}

fn together(door: &Door, count: usize) -> io::Result<Vec<Answer>> {
    let mut requests = Vec::new();
    for _ in 0..count {
        requests.push(Request::connect(door)?);
    }
    for request in &mut requests {
        request.send(PIECE_OF_WORK)?;
    }
    requests.into_iter().map(Request::receive).collect()
}

fn side_by_side(door: &Door, count: usize) -> io::Result<Vec<Answer>> {
    let ready = Barrier::new(count);
    thread::scope(|scope| {
        let client = || {
            ready.wait();
            Request::get(door, PIECE_OF_WORK)
        };
        let clients: Vec<_> = (0..count).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect()
    })
}
