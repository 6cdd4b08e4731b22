//! Descriptors that are not what the registration socket is for.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{CWD, FileType, MemfdFlags, Mode, OFlags, inotify, memfd_create, mknodat, open};
use rustix::net::{AddressFamily, SocketType, listen, sockopt};
use rustix::process::{Pid, PidfdFlags, Signal, getpid, kill_process, pidfd_open};
use rustix::pty::{OpenptFlags, openpt};
use wire::{Outcome, Request, Verb};

use super::{Bench, socket_of, tcp_address, with_address};
use crate::agent::{answer_to, request};
use crate::harness::{children_of, free_port};

const VERBS: [Verb; 9] = [
    Verb::Hello,
    Verb::Bind,
    Verb::Listen,
    Verb::SetOption,
    Verb::GetOption,
    Verb::Adopt,
    Verb::ShareDatagrams,
    Verb::Remove,
    Verb::Name,
];

/// One of each kind, named.
fn things(bench: &Bench) -> Vec<(&'static str, OwnedFd)> {
    let fifo = bench.theirs.join("fifo");
    let _ = mknodat(CWD, &fifo, FileType::Fifo, 0o666.into(), 0);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let (pipe, _) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (connected, _) = UnixStream::pair().unwrap();
    let file = fs::File::create(bench.theirs.join("file")).unwrap();
    let unix = UnixListener::bind(bench.theirs.join(".listener"));
    let _ = fs::remove_file(bench.theirs.join(".listener"));
    let packets = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None);
    let netlink = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None);
    vec![
        ("a folder", fs::File::open(&bench.theirs).unwrap().into()),
        ("a file", file.into()),
        ("a device", fs::File::open("/dev/zero").unwrap().into()),
        ("a FIFO", open(&fifo, flags, Mode::empty()).unwrap()),
        ("a pipe", pipe),
        (
            "an epoll",
            epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
        ),
        ("a memfd", memfd_create("m", MemfdFlags::CLOEXEC).unwrap()),
        (
            "a pidfd",
            pidfd_open(getpid(), PidfdFlags::empty()).unwrap(),
        ),
        ("an eventfd", eventfd(0, EventfdFlags::CLOEXEC).unwrap()),
        (
            "an inotify",
            inotify::init(inotify::CreateFlags::CLOEXEC).unwrap(),
        ),
        (
            "a TTY",
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap(),
        ),
        (
            "a path only",
            open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap(),
        ),
        (
            "a UDP socket",
            UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        ),
        ("a Unix pair", connected.into()),
        ("a Unix listener", unix.unwrap().into()),
        ("a packet socket", packets.unwrap()),
        ("a netlink socket", netlink.unwrap()),
    ]
}

/// Each, alone and together, with each question.
pub(super) fn of_every_kind(bench: &Bench) {
    let things = things(bench);
    for verb in VERBS {
        for (name, thing) in &things {
            let copies = || thing.try_clone().unwrap();
            let ask = with_address(verb, 3, tcp_address(free_port()));
            for fds in [vec![copies()], vec![copies(), copies(), copies(), copies()]] {
                let reply = bench.ask(ask, &fds).map(|reply| reply.outcome);
                assert!(
                    matches!(reply, None | Some(Outcome::Native | Outcome::Failed(_))),
                    "{verb:?} {name}: {reply:?}"
                );
            }
        }
    }
}

/// The worker keeps its socket's open file description: it clears O_NONBLOCK, and accepts there.
pub(super) fn shared_and_blocking(bench: &Bench) {
    let port = free_port();
    let ours = socket_of(AddressFamily::INET);
    let bind = with_address(Verb::Bind, 3, tcp_address(port));
    let reply = bench.ask(bind, &[ours.try_clone().unwrap()]).unwrap();
    assert_eq!(reply.outcome, Outcome::Done);
    rustix::io::ioctl_fionbio(&ours, false).unwrap();
    let listens = with_address(Verb::Listen, 3, tcp_address(port));
    let (reply, channel) = bench
        .agent
        .ask(&listens.encode(), &[ours.try_clone().unwrap()])
        .unwrap();
    assert_eq!(reply.outcome, Outcome::Channel);
    // On the channel, too: the supervisor has a copy.
    let channel = channel.unwrap();
    rustix::io::ioctl_fionbio(&channel, false).unwrap();
    // By itself it cannot listen any more, for the port is taken; it tries nevertheless.
    let _ = listen(&ours, 16);
    // Clients of this listener are nobody's but the worker's, who takes none.
    let clients: Vec<_> = (0..64)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    bench.longest_waits(100);
    rustix::net::shutdown(&channel, rustix::net::Shutdown::Both).unwrap();
    bench.longest_waits(100);
    drop(clients);
    let close = Request {
        channel: reply.channel,
        ..request(Verb::Close)
    };
    assert_eq!(bench.ask(close, &[]), None);
}

/// Connections with much that is not sent yet, and a long SO_LINGER: whoever closes them last waits.
pub(super) fn that_linger(bench: &Bench) {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let supervisor = Pid::from_raw(children_of(bench.run.pid())[0]).unwrap();
    let mut peers = Vec::new();
    for verb in VERBS {
        let sent = lingering(address);
        peers.push(peer.accept().unwrap());
        let ask = with_address(verb, 3, tcp_address(free_port())).encode();
        let caller = bench.agent.connect();
        // Ours is closed before the supervisor reads it: else the test would wait.
        kill_process(supervisor, Signal::STOP).unwrap();
        sys::send(caller.as_fd(), &ask, Some(sent.as_fd())).unwrap();
        drop(sent);
        kill_process(supervisor, Signal::CONT).unwrap();
        answer_to(&caller);
    }
    // Not those of the test's own signals.
    bench.longest_waits(1);
    bench.longest_waits(200);
    // Reset, they linger no longer.
    for (peer, _) in &peers {
        sockopt::set_socket_linger(peer, Some(Duration::ZERO)).unwrap();
    }
}

/// The same, in the channel by which connections come, the other way. The supervisor reads nothing of
/// it, and closes it in the end.
pub(super) fn that_linger_in_a_channel(bench: &Bench) {
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let listens = with_address(Verb::Listen, 3, tcp_address(free_port()));
    let sent = socket_of(AddressFamily::INET);
    let (reply, channel) = bench.agent.ask(&listens.encode(), &[sent]).unwrap();
    let channel = channel.unwrap();
    // It is full as it comes.
    sockopt::set_socket_send_buffer_size(&channel, 1 << 20).unwrap();
    let mut peers = Vec::new();
    for _ in 0..8 {
        let lingering = lingering(address);
        peers.push(peer.accept().unwrap());
        match sys::send(channel.as_fd(), b"x", Some(lingering.as_fd())) {
            Ok(()) => {}
            // From Linux 6.16 on the kernel refuses it. Else the test itself would wait.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
                sockopt::set_socket_linger(&lingering, Some(Duration::ZERO)).unwrap();
            }
        }
    }
    drop(channel);
    let close = Request {
        channel: reply.channel,
        ..request(Verb::Close)
    };
    assert_eq!(bench.ask(close, &[]), None);
    bench.longest_waits(200);
    for (peer, _) in &peers {
        sockopt::set_socket_linger(peer, Some(Duration::ZERO)).unwrap();
    }
}

/// A connection to this address with much that is not sent, and a long SO_LINGER.
fn lingering(address: SocketAddr) -> OwnedFd {
    let mut full = TcpStream::connect(address).unwrap();
    full.set_nonblocking(true).unwrap();
    while full.write(&[0; 65536]).is_ok() {}
    full.set_nonblocking(false).unwrap();
    sockopt::set_socket_linger(&full, Some(Duration::from_secs(1000))).unwrap();
    full.into()
}

/// A listener that another program has handed to the worker: the address stays with that.
pub(super) fn of_somebody_else(bench: &Bench) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for verb in VERBS {
        for address in [tcp_address(port), wire::Address::NONE] {
            let sent: OwnedFd = listener.try_clone().unwrap().into();
            let ask = with_address(verb, 3, address);
            let reply = bench.ask(ask, &[sent]).map(|reply| reply.outcome);
            assert!(
                matches!(reply, None | Some(Outcome::Native | Outcome::Failed(_))),
                "{verb:?}: {reply:?}"
            );
            let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (_, from) = listener.accept().unwrap();
            assert_eq!(from, client.local_addr().unwrap());
        }
    }
}
