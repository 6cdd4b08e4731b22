//! The door of a real supervisor, and callers who are no library of ours: whatever they say and
//! however many they are, the supervisor goes on.

use std::collections::HashMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use wire::{Address, Outcome, REQUEST_LEN, Reply, VERSION, Verb, channel_id};

use crate::agent::{Agent, answer_in, answer_to, ask_over, connected, request};
use crate::client::{Place, visits};
use crate::harness::{Run, alone, beside_others, children_of, free_port, raise_file_limit};
use crate::processor::computes;
use crate::victims::PATIENCE;

const VERBS: [Verb; 10] = [
    Verb::Hello,
    Verb::Bind,
    Verb::Listen,
    Verb::SetOption,
    Verb::GetOption,
    Verb::Close,
    Verb::Adopt,
    Verb::ShareDatagrams,
    Verb::Remove,
    Verb::Name,
];

fn start() -> (Run, Agent) {
    let (setup, agent) = Agent::beside("acceptors", &["level"]);
    let mut run = setup.instances(2).option("--restart-delay", "1").start();
    run.listening(2);
    (run, agent)
}

/// Where the supervisor's door is: its workers have it in their environment.
fn door_of(run: &mut Run) -> PathBuf {
    let worker = run.listening(2).pid();
    let environment = fs::read(format!("/proc/{worker}/environ")).unwrap();
    let prefix = format!("{}=", wire::DOOR_VAR);
    environment
        .split(|byte| *byte == 0)
        .find_map(|line| line.strip_prefix(prefix.as_bytes()))
        .map(|path| PathBuf::from(String::from_utf8(path.to_vec()).unwrap()))
        .unwrap()
}

/// The app is served, and a worker that dies is followed by another one.
fn goes_on(run: &mut Run) {
    let place = Place::Port(run.port);
    visits(&place, 10);
    let before = run.events().last().unwrap().clone();
    let worker = run.newest_worker();
    kill_process(worker, Signal::KILL).unwrap();
    run.event_after(&before, "a new worker", |event| {
        event.is("listening") && event.number("members") == 2
    });
    visits(&place, 10);
}

/// Things that are no sockets to listen on.
fn things() -> Vec<OwnedFd> {
    // What others start at the same time must not inherit it: they count what they have.
    let (pipe, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    vec![
        fs::File::open("/dev/null").unwrap().into(),
        fs::File::open("/").unwrap().into(),
        pipe,
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        TcpListener::bind("127.0.0.1:0").unwrap().into(),
        rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap(),
    ]
}

#[test]
fn callers_that_talk_nonsense() {
    let _turn = beside_others();
    let (mut run, agent) = start();
    let good = request(Verb::Listen).encode();
    let mut other_version = good;
    other_version[..2].copy_from_slice(&(VERSION + 1).to_ne_bytes());
    let mut unknown_verb = good;
    unknown_verb[2] = 200;
    let mut endless_address = good;
    endless_address[32] = 255;
    let sizes = [
        0,
        1,
        31,
        REQUEST_LEN - 1,
        REQUEST_LEN,
        REQUEST_LEN + 1,
        4096,
        100_000,
        10_000_000,
    ];
    let mut nonsense: Vec<Vec<u8>> = sizes.iter().map(|size| vec![0xa5; *size]).collect();
    nonsense.extend(sizes.iter().map(|size| vec![0; *size]));
    nonsense.push(other_version.to_vec());
    nonsense.push(unknown_verb.to_vec());
    nonsense.push(endless_address.to_vec());
    nonsense.push(good[1..].to_vec());
    for bytes in &nonsense {
        assert_eq!(agent.call(bytes, &[]), None);
        assert_eq!(agent.call(bytes, &things()[..1]), None);
        assert_eq!(agent.call(bytes, &things()[..4]), None);
    }
    goes_on(&mut run);
}

/// Well-formed questions about things that they cannot be asked about.
#[test]
fn callers_that_ask_the_impossible() {
    let _turn = beside_others();
    let (mut run, agent) = start();
    let tcp = |port: u16| {
        let mut address = vec![2, 0];
        address.extend(port.to_be_bytes());
        address.extend([127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        Address::new(&address).unwrap()
    };
    let addresses = [
        Address::NONE,
        tcp(0),
        tcp(free_port()),
        Address::new(&[2]).unwrap(),
        Address::new(&[2, 0, 1]).unwrap(),
        Address::new(&[10, 0, 1, 1, 0]).unwrap(),
        Address::new(b"\x01\0/nowhere/at/all").unwrap(),
        Address::new(&[1; 110]).unwrap(),
        Address::new(&[255; 110]).unwrap(),
    ];
    for verb in VERBS {
        let expected = (verb == Verb::Remove).then(|| Reply::plain(Outcome::Native));
        let reply = agent.call(&request(verb).encode(), &[]);
        assert_eq!(reply, expected, "{verb:?}");
        for address in addresses {
            for number in [0, 1, 9, 13, 26, 51, 52, 77, 64, i32::MAX, -1] {
                let mut request = request(verb);
                request.address = address;
                request.arg = if number % 2 == 0 { 1 } else { number };
                request.arg2 = number;
                request.tid = number;
                request.fd = number;
                request.cluster_worker = number == 1;
                request.instance = number as u32;
                request.channel = number as u64;
                for thing in things() {
                    let reply = agent.call(&request.encode(), &[thing]);
                    // Who asks for a place at an address gets one, or the kernel's own error.
                    let accepted = matches!(
                        reply.map(|reply| reply.outcome),
                        Some(Outcome::Channel | Outcome::Shared | Outcome::Done)
                    );
                    assert!(
                        !accepted || matches!(verb, Verb::Bind | Verb::Listen),
                        "{request:?}: {reply:?}"
                    );
                }
            }
        }
    }
    goes_on(&mut run);
}

/// A stranger says that the workers' channels are closed, by their names, which everybody can see.
#[test]
fn callers_that_close_what_is_not_theirs() {
    let _turn = beside_others();
    let (mut run, agent) = start();
    // Names of other programs may be of any bytes.
    let sockets = fs::read("/proc/net/unix").unwrap();
    let sockets = String::from_utf8_lossy(&sockets);
    let channels: Vec<u64> = sockets
        .lines()
        .filter_map(|line| line.split_whitespace().last()?.strip_prefix('@'))
        .filter_map(|name| channel_id(&[b"\x01\0\0", name.as_bytes()].concat()))
        .collect();
    assert!(channels.len() >= 2, "{sockets}");
    for channel in channels {
        let mut request = request(Verb::Close);
        request.channel = channel;
        assert_eq!(agent.call(&request.encode(), &[]), None);
    }
    visits(&Place::Port(run.port), 10);
    let left = run.events().into_iter().find(|event| event.is("left"));
    assert!(left.is_none(), "{}", run.story());
}

/// More callers than the supervisor lets in, who say nothing and do not leave: others are heard
/// all the same, and nobody is kept busy by them.
#[test]
fn callers_that_stand_in_the_door() {
    const CALLERS: usize = 300;
    let _turn = alone();
    raise_file_limit(2 * CALLERS as u64);
    let (mut run, agent) = start();
    let idle: Vec<_> = (0..CALLERS).map(|_| agent.connect()).collect();
    goes_on(&mut run);
    goes_on(&mut run);
    let supervisor = children_of(run.pid())[0];
    let computed = computes(supervisor);
    assert!(computed < 0.1, "computed {computed} s of 0.5");
    assert!(idle[0].as_raw_fd() > 0);
}

/// The supervisor's descriptor numbers, and its limit.
fn numbers_of(supervisor: Pid) -> Vec<u64> {
    let folder = fs::read_dir(format!("/proc/{}/fd", supervisor.as_raw_pid())).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    folder
        .map(|entry| name(entry).to_str().unwrap().parse().unwrap())
        .collect()
}

/// How many descriptors a supervisor holds for one that registers and for its connection.
const RESERVE: usize = 9;

/// The numbers that the reserve of a supervisor has: copies of one eventfd, and the eventfd.
fn reserve_of(supervisor: Pid) -> Vec<u64> {
    let mut by_eventfd: HashMap<String, Vec<u64>> = HashMap::new();
    for number in numbers_of(supervisor) {
        let path = format!("/proc/{}/fdinfo/{number}", supervisor.as_raw_pid());
        let info = fs::read_to_string(path).unwrap_or_default();
        if let Some(id) = info.lines().find(|line| line.starts_with("eventfd-id")) {
            by_eventfd.entry(id.to_owned()).or_default().push(number);
        }
    }
    by_eventfd.into_values().max_by_key(Vec::len).unwrap()
}

/// The lowest limit at which a supervisor still has its reserve, and nothing else: below it no number
/// is free. The reserve moves to the lowest free numbers whenever a question has been answered.
fn tightest_limit(supervisor: Pid, agent: &Agent) -> u64 {
    for _ in 0..1000 {
        let reserve = reserve_of(supervisor);
        let numbers = numbers_of(supervisor);
        let free = (0..).find(|number| !numbers.contains(number)).unwrap();
        if reserve.len() > RESERVE && reserve.iter().all(|number| *number < free) {
            return free;
        }
        agent.call(&request(Verb::Adopt).encode(), &[things().remove(0)]);
    }
    panic!("the numbers of the descriptors never close up");
}

/// No number is left below the limit, or silent callers have used up those that were: those who ask
/// behind them are heard all the same, over the descriptors that are held in reserve.
#[test]
fn who_registers_while_no_descriptor_is_left_is_heard() {
    let _turn = beside_others();
    // What is held in reserve serves one: its listener and its channel stay.
    for (more, silent, asking) in [
        (0, 0, 1),
        (0, 20, 1),
        (1, 20, 1),
        (10, 20, 2),
        (100, 120, 2),
    ] {
        let (mut run, agent) = start();
        let supervisor = Pid::from_raw(children_of(run.pid())[0]).unwrap();
        let few = Rlimit {
            current: Some(tightest_limit(supervisor, &agent) + more),
            ..getrlimit(Resource::Nofile)
        };
        let as_it_was = prlimit(Some(supervisor), Resource::Nofile, few).unwrap();
        let _silent: Vec<_> = (0..silent).map(|_| agent.connect()).collect();
        let callers: Vec<_> = (0..asking).map(|_| agent.connect()).collect();
        for caller in &callers {
            ask_to_listen(caller);
        }
        for caller in &callers {
            let (reply, channel) = answer_to(caller).unwrap();
            assert_eq!(
                reply.outcome,
                Outcome::Channel,
                "{more} more, {silent} silent"
            );
            assert!(channel.is_some());
        }
        prlimit(Some(supervisor), Resource::Nofile, as_it_was).unwrap();
        assert!(!run.events().iter().any(|event| event.is("stranger")));
        goes_on(&mut run);
    }
}

/// Another worker takes the path for a leftover, and removes it before the one that has bound it
/// listens: once both listen it is there again.
#[test]
fn a_path_that_is_removed_before_its_worker_listens_is_put_back() {
    let _turn = beside_others();
    let (mut run, first) = start();
    let second = first.of_instance(1);
    let path = first.folder().join("app.sock");
    let family = AddressFamily::UNIX;
    let sockaddr = [
        &family.as_raw().to_ne_bytes()[..],
        path.as_os_str().as_bytes(),
        &[0],
    ]
    .concat();
    let ask = |agent: &Agent, verb, socket: &OwnedFd| {
        let question = wire::Request {
            address: Address::new(&sockaddr).unwrap(),
            ..request(verb)
        };
        agent.call(&question.encode(), &[socket.try_clone().unwrap()])
    };
    let stream = || {
        rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    };
    let sockets = [stream(), stream()];
    let bound = ask(&first, Verb::Bind, &sockets[0]).unwrap();
    assert!(
        !matches!(bound.outcome, Outcome::Failed(_) | Outcome::Native),
        "{bound:?}"
    );
    fs::remove_file(&path).unwrap();
    for (agent, socket) in [(&first, &sockets[0]), (&second, &sockets[1])] {
        let listens = ask(agent, Verb::Listen, socket).unwrap();
        assert_eq!(listens.outcome, Outcome::Channel);
    }
    std::os::unix::net::UnixStream::connect(&path).unwrap();
    goes_on(&mut run);
}

/// Asks for a listener at a free port.
fn ask_to_listen(caller: &OwnedFd) {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
    let mut address = [0; 16];
    address[..2].copy_from_slice(&family.as_raw().to_ne_bytes());
    address[2..4].copy_from_slice(&free_port().to_be_bytes());
    let listen = wire::Request {
        address: Address::new(&address).unwrap(),
        ..request(Verb::Listen)
    };
    sys::send(caller.as_fd(), &listen.encode(), Some(socket.as_fd())).unwrap();
}

/// Many who ask at once, as when many workers start: nobody is sent away.
#[test]
fn many_callers_at_once() {
    const CALLERS: usize = 900;
    let _turn = alone();
    raise_file_limit(2 * CALLERS as u64);
    let (mut run, agent) = start();
    let supervisor = Pid::from_raw(children_of(run.pid())[0]).unwrap();
    // While it is stopped they all come, and it finds them together.
    kill_process(supervisor, Signal::STOP).unwrap();
    let question = request(Verb::Adopt).encode();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let caller = agent.connect();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            sys::send(caller.as_fd(), &question, Some(socket.as_fd())).unwrap();
            caller
        })
        .collect();
    kill_process(supervisor, Signal::CONT).unwrap();
    let deadline = Instant::now() + PATIENCE;
    for (number, caller) in callers.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap();
        let ready = poll(&mut [PollFd::new(caller, PollFlags::IN)], Some(&left));
        assert_eq!(ready, Ok(1), "caller {number}");
        assert_eq!(
            answer_in(caller),
            Some(Reply::plain(Outcome::Native)),
            "caller {number}"
        );
    }
    goes_on(&mut run);
}

/// A process of the same user, which knows the path: it gets neither a listener nor a connection, and
/// `ls` and the log do not go without a word of it.
#[test]
fn strangers_are_refused() {
    let _turn = beside_others();
    let (mut run, _agent) = start();
    let door = door_of(&mut run);
    for verb in VERBS {
        let mut request = request(verb);
        request.address =
            Address::new(&[2, 0, 1, 1, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        for thing in things() {
            let reply = ask_over(&connected(&door), &request.encode(), &[thing]);
            assert!(reply.is_none(), "{verb:?}: {reply:?}");
        }
        let reply = ask_over(&connected(&door), &request.encode(), &[]);
        assert!(reply.is_none(), "{verb:?}: {reply:?}");
    }
    let refused = run.event("a word of the stranger", |event| event.is("stranger"));
    assert_eq!(refused.pid(), std::process::id() as i32);
    goes_on(&mut run);
}
