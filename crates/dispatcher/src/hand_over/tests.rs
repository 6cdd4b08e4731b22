//! Two dispatchers in one process, of which one follows the other, and a worker that both have. Each has its
//! own descriptors, as two processes have.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use balance::{ConnectionSettings, RequestPolicy, RequestSettings};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use serde_json::Value;
use sys::{LeftOpen, Memo};
use wire::Handoff;

use crate::ids::ListenerId;
use crate::members::{Caller, Holder};
use crate::{Dispatcher, HeldBy, Notice, RegistrationSettings, Settings, membership};
use telemetry::ids::Instance;

const SECOND: u64 = 1_000_000_000;

/// Nothing here takes so long, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(600);

/// A worker: a thread that takes what comes down its channel. It answers a request with its path, when the
/// test says so for those that begin with `/slow`.
struct Worker {
    go_on: Sender<()>,
    asked: Receiver<String>,
}

fn work(theirs: &OwnedFd, tell: Sender<i32>, go_on: Receiver<()>, asked: Sender<String>) {
    tell.send(rustix::thread::gettid().as_raw_nonzero().get())
        .unwrap();
    let go_on = std::sync::Arc::new(std::sync::Mutex::new(go_on));
    loop {
        let mut fds = [rustix::event::PollFd::new(
            theirs,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        if fds[0].revents().contains(rustix::event::PollFlags::HUP) {
            return;
        }
        let mut message = [0; wire::HANDOFF_LEN];
        let Ok((_, end)) = sys::receive(theirs.as_fd(), &mut message) else {
            continue;
        };
        let Some(end) = end else { continue };
        let (go_on, asked) = (go_on.clone(), asked.clone());
        std::thread::spawn(move || serve(end.into(), &go_on, &asked));
    }
}

fn serve(mut stream: UnixStream, go_on: &std::sync::Mutex<Receiver<()>>, asked: &Sender<String>) {
    stream.set_nonblocking(false).unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        while !said.windows(4).any(|it| it == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(len @ 1..) => said.extend_from_slice(&buffer[..len]),
                _ => return,
            }
        }
        let text = String::from_utf8(std::mem::take(&mut said)).unwrap();
        let path = text.split(' ').nth(1).unwrap().to_owned();
        let _ = asked.send(path.clone());
        if path.starts_with("/slow") {
            go_on.lock().unwrap().recv().unwrap();
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.len());
        if stream
            .write_all(format!("{head}{path}").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

fn settings(memo: &Memo, folder: &tempfile::TempDir, predecessor: Option<OwnedFd>) -> Settings {
    // Nobody asks there.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let door = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
    let door = door.unwrap();
    let unnamed = rustix::net::SocketAddrUnix::new_unnamed();
    rustix::net::bind(&door, &unnamed).unwrap();
    rustix::net::listen(&door, 1).unwrap();
    Settings {
        balance: ConnectionSettings {
            policy: balance::ConnectionPolicy::default(),
            queue: 100,
            queue_timeout: 600 * SECOND,
            max_connections: None,
        },
        keep_alive: None,
        requests: Some(proxy::Settings {
            balance: RequestSettings {
                policy: RequestPolicy::LeastConn,
                max_concurrency: usize::MAX,
                queue: 100,
                queue_timeout: 600 * SECOND,
            },
            trusted: http1::Networks::default(),
            proxy_protocol: false,
            tls: Vec::new(),
            instance_header: None,
            retry_idempotent: true,
            max_clients: 100,
            client_limit: usize::MAX,
            access: None,
            head: 32 * 1024,
            fields: 1000,
            body: 0,
            head_time: PATIENCE,
            idle_time: PATIENCE,
            stall_time: PATIENCE,
            answer_time: PATIENCE,
            half_closed: false,
        }),
        registration: RegistrationSettings {
            socket: door,
            ancestor: getpid(),
            private_ports: Vec::new(),
            private_paths: Vec::new(),
            per_request: true,
            privileged_ports: Vec::new(),
            links: folder.path().to_owned(),
        },
        memo: Some(memo.share()),
        predecessor,
    }
}

fn way() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// Makes this process a worker of the dispatcher's only listener; its end of the channel.
fn channel_of_new(dispatcher: &Dispatcher) -> OwnedFd {
    let pid = getpid();
    let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let pid = pid.as_raw_nonzero().get();
    let theirs = dispatcher.commands.run(move |cx| {
        assert!(cx.members.watch(pid, handle));
        let listener: ListenerId = *cx.listeners.all.keys().next().unwrap();
        // No loop probe: the policy does not need one.
        let caller = Caller {
            holder: Holder { pid, tid: 0 },
            instance: Instance(0),
            fd: -1,
        };
        membership::take_in(listener, caller, cx).unwrap().2
    });
    theirs.unwrap()
}

/// A worker joins the listener that the dispatcher has.
fn join(dispatcher: &Dispatcher) -> Worker {
    let (tell, told) = channel();
    let (go_on, go) = channel();
    let (asks, asked) = channel();
    let theirs = channel_of_new(dispatcher);
    std::thread::spawn(move || work(&theirs, tell, go, asks));
    told.recv().unwrap();
    Worker { go_on, asked }
}

/// Copies of the descriptors that are noted, and notes with their numbers.
fn copied(memo: &mut Memo) -> (Memo, LeftOpen) {
    let mut notes: Value = serde_json::from_slice(&memo.read().unwrap()).unwrap();
    let mut left = Vec::new();
    let mut copy = |number: &mut Value| {
        let Some(fd) = number.as_i64() else { return };
        let path = format!("/proc/self/fd/{fd}");
        assert!(std::fs::exists(path).unwrap());
        let pid = getpid();
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let flags = rustix::process::PidfdGetfdFlags::empty();
        let copied = rustix::process::pidfd_getfd(process, fd as i32, flags).unwrap();
        *number = copied.as_raw_fd().into();
        left.push(copied);
    };
    for listener in notes["listeners"].as_array_mut().unwrap() {
        copy(&mut listener["socket"]);
    }
    for member in notes["members"].as_array_mut().unwrap() {
        copy(&mut member["ours"]);
        copy(&mut member["theirs"]);
    }
    let mut memo = Memo::new().unwrap();
    memo.write(&serde_json::to_vec(&notes).unwrap()).unwrap();
    (memo, left.into_iter().collect())
}

struct Client {
    stream: TcpStream,
    /// What has come and was not heard yet.
    rest: Vec<u8>,
}

impl Client {
    fn at(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            rest: Vec::new(),
        }
    }

    fn ask(&mut self, path: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    /// Reads the answer, which is to be this path.
    fn hear(&mut self, path: &str) {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
            path.len()
        );
        let mut buffer = [0; 1024];
        while self.rest.len() < answer.len() {
            let len = self.stream.read(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&self.rest);
            assert!(len > 0, "{path}: {text}");
            self.rest.extend_from_slice(&buffer[..len]);
        }
        let said: Vec<u8> = self.rest.drain(..answer.len()).collect();
        assert_eq!(String::from_utf8_lossy(&said), answer);
    }
}

#[test]
fn clients_and_workers_go_from_one_to_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut memo = Memo::new().unwrap();
    let (notices, mut heard) = tokio::sync::mpsc::channel(100);
    let none = &mut LeftOpen::default();
    let old = Dispatcher::start(settings(&memo, &folder, None), notices.clone(), none).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(old.adopt(vec![listener.into()], HeldBy::Us).len(), 1);
    let worker = join(&old);
    let [mut idle, mut slow, mut fresh] = [(); 3].map(|()| Client::at(address));
    idle.ask("/one");
    idle.hear("/one");
    slow.ask("/slow");
    assert_eq!(worker.asked.iter().nth(1).unwrap(), "/slow");
    // The notes of an earlier moment are not copied.
    let (copy, mut left) = copied(&mut memo);
    let noted = memo.read().unwrap();
    let (successor, predecessor) = way();
    let paused = old.pause();
    assert!(paused.is_some());
    // What comes meanwhile is not accepted here.
    let mut late = Client::at(address);
    late.ask("/late");
    old.hand_over(paused, successor, PATIENCE);
    assert_eq!(memo.read().unwrap(), noted);
    // The listener is open all the time.
    let mut later = Client::at(address);
    later.ask("/later");
    idle.ask("/two");
    let new = settings(&copy, &folder, Some(predecessor));
    let new = Dispatcher::start(new, notices, &mut left).unwrap();
    drop(left);
    idle.hear("/two");
    late.hear("/late");
    later.hear("/later");
    fresh.ask("/fresh");
    fresh.hear("/fresh");
    // A client that is answered by the old dispatcher moves behind that.
    slow.ask("/next");
    worker.go_on.send(()).unwrap();
    slow.hear("/slow");
    slow.hear("/next");
    while !matches!(heard.blocking_recv().unwrap(), Notice::HandedOver) {}
    drop(old);
    for client in [
        &mut idle,
        &mut slow,
        &mut fresh,
        &mut late,
        &mut Client::at(address),
    ] {
        client.ask("/last");
        client.hear("/last");
    }
    let asked: Vec<_> = worker.asked.try_iter().collect();
    for path in ["/two", "/late", "/fresh", "/next"] {
        assert_eq!(asked.iter().filter(|it| *it == path).count(), 1, "{path}");
    }
    assert_eq!(asked.iter().filter(|it| *it == "/last").count(), 5);
    drop(new);
}

/// What the old dispatcher had put into a channel lies there still, and the worker gets it.
#[test]
fn what_lies_in_a_channel_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut memo = Memo::new().unwrap();
    let (notices, _heard) = tokio::sync::mpsc::channel(100);
    let none = &mut LeftOpen::default();
    let old = Dispatcher::start(settings(&memo, &folder, None), notices.clone(), none).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    old.adopt(vec![listener.into()], HeldBy::Us);
    // This worker takes nothing for now.
    let theirs = channel_of_new(&old);
    let (copy, mut left) = copied(&mut memo);
    let (successor, predecessor) = way();
    old.hand_over(None, successor, PATIENCE);
    // As if it had not been taken back: three, in their order.
    let peer = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let pairs: Vec<_> = (0..3)
        .map(|number| proxy::make_pair(u64::from(std::process::id()) << 32 | number, &peer, &peer))
        .map(Result::unwrap)
        .collect();
    let notes: Value = serde_json::from_slice(&copy.share().read().unwrap()).unwrap();
    let ours = notes["members"][0]["ours"].as_i64().unwrap() as i32;
    let ours_copy = left.take(ours).unwrap();
    for (_, end) in &pairs {
        let (message, _) = Handoff::pair(&peer).encode();
        sys::send(ours_copy.as_fd(), &message, Some(end.as_fd())).unwrap();
    }
    let mut left: LeftOpen = left.into_all().into_iter().chain([ours_copy]).collect();
    let ours: Vec<_> = pairs.into_iter().map(|(ours, _)| ours).collect();
    let new = settings(&copy, &folder, Some(predecessor));
    let new = Dispatcher::start(new, notices, &mut left).unwrap();
    // One of the new dispatcher's comes behind them.
    let mut client = Client::at(address);
    client.ask("/own");
    for (number, ours) in ours.iter().enumerate() {
        let mut message = [0; wire::HANDOFF_LEN];
        let end = loop {
            if let Ok((_, Some(end))) = sys::receive(theirs.as_fd(), &mut message) {
                break end;
            }
            std::thread::yield_now();
        };
        rustix::io::write(ours, number.to_string().as_bytes()).unwrap();
        let mut said = [0; 8];
        let len = rustix::io::read(&end, &mut said).unwrap();
        assert_eq!(&said[..len], number.to_string().as_bytes());
    }
    let (_go_on, go) = channel();
    let (asks, asked) = channel();
    let (tell, _told) = channel();
    std::thread::spawn(move || work(&theirs, tell, go, asks));
    client.hear("/own");
    assert_eq!(asked.recv().unwrap(), "/own");
    drop((old, new));
}
