//! The proxy between sockets that a test holds both ends of, with workers and a clock of its own:
//! each byte is where the test puts it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use balance::{Look, MemberId, Nanos, RequestPolicy, RequestSettings};
use http1::Networks;
use rustix::event::epoll;

use super::*;
use downstream::client::{Client, Phase};
use telemetry::ids::Place;

mod accounts;
mod bodies;
mod clients;
mod departure;
mod descriptors;
mod detect;
mod floods;
mod hand_over;
mod http2;
mod placing;
mod responses;
mod staging;
mod tls;
mod upstream;

const GATE: u64 = 1;
const SECOND: Nanos = 1_000_000_000;

/// Workers whose channels are lists.
#[derive(Default)]
struct Channels {
    /// What lies in them, oldest first.
    lying: VecDeque<(MemberId, OwnedFd)>,
    /// How many bytes the last one had in it when it was put there.
    handed_with: u64,
    /// Whose takes nothing.
    full: Vec<MemberId>,
    busy: Vec<MemberId>,
    /// Who has no descriptor left.
    without_descriptors: Vec<MemberId>,
}

impl Workers for Channels {
    fn look(&mut self, member: MemberId) -> Look {
        if self.busy.contains(&member) {
            Look::Running
        } else {
            Look::Waiting
        }
    }

    fn probe(&mut self, _: MemberId) -> bool {
        true
    }

    fn watch(&mut self, _: MemberId, _: bool) {}

    fn hand(&mut self, member: MemberId, end: OwnedFd, _: &[u8]) -> Result<(), OwnedFd> {
        if self.full.contains(&member) {
            return Err(end);
        }
        self.handed_with = rustix::io::ioctl_fionread(&end).unwrap();
        self.lying.push_back((member, end));
        Ok(())
    }

    fn untaken(&mut self, member: MemberId) -> usize {
        self.lying.iter().filter(|(id, _)| *id == member).count()
    }

    fn is_full(&mut self, member: MemberId) -> bool {
        self.without_descriptors.contains(&member)
    }

    fn take_back(&mut self, member: MemberId) -> Option<OwnedFd> {
        let at = self.lying.iter().position(|(id, _)| *id == member)?;
        self.lying.remove(at).map(|(_, end)| end)
    }
}

/// A proxy, and all around it.
struct World {
    proxy: Proxy,
    epoll: Arc<OwnedFd>,
    channels: Channels,
    now: Nanos,
}

fn settings(policy: RequestPolicy) -> Settings {
    Settings {
        balance: RequestSettings {
            policy,
            max_concurrency: usize::MAX,
            queue: 100,
            queue_timeout: 10 * SECOND,
        },
        trusted: Networks::default(),
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
        head_time: Duration::from_secs(10),
        idle_time: Duration::from_secs(60),
        stall_time: Duration::from_secs(60),
        answer_time: Duration::from_secs(60),
        half_closed: false,
    }
}

impl World {
    fn new(members: u64, settings: Settings) -> Self {
        // Names of pairs are the whole machine's.
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let world = WORLDS.fetch_add(1, Ordering::Relaxed);
        let first = u64::from(std::process::id()) << 30 | world << 20;
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap());
        let mut proxy = Proxy::new(settings, Arc::clone(&epoll), 1 << 56, first);
        proxy.set_time(SECOND);
        proxy.open(GATE, &[1, 0], "here".to_owned());
        for id in 0..members {
            proxy.join(GATE, MemberId(id), Place::of_key(id));
        }
        // A response has come there.
        proxy.cx.listeners.get_mut(GATE).unwrap().spoken = crate::detect::Spoken::Http;
        Self {
            proxy,
            epoll,
            channels: Channels::default(),
            now: SECOND,
        }
    }

    /// Goes on until nothing more happens.
    fn run(&mut self) {
        for _ in 0..1000 {
            let any = self.see_to_events();
            let due = self.end_turn();
            if !any && !due {
                return;
            }
        }
        panic!("the proxy does not come to rest");
    }

    /// The first part of a turn: what has happened, if anything.
    fn see_to_events(&mut self) -> bool {
        let mut events = Vec::with_capacity(64);
        let zero = rustix::event::Timespec::default();
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&self.epoll, spare, Some(&zero)).unwrap();
        self.proxy.begin_turn(self.now);
        for event in &events {
            self.proxy.note_event(event.data.u64(), event.flags);
        }
        for event in &events {
            self.proxy
                .handle_event(event.data.u64(), event.flags, &mut self.channels);
        }
        !events.is_empty()
    }

    /// The second part: what time has brought, if anything, and what is sent together.
    fn end_turn(&mut self) -> bool {
        let due = self.proxy.deadline().is_some_and(|at| at <= self.now);
        if due {
            self.proxy.tick(&mut self.channels);
        }
        self.proxy.send_batch(&mut self.channels);
        due
    }

    /// Time passes, in steps as the proxy asks to be woken.
    fn pass(&mut self, time: Nanos) {
        let until = self.now + time;
        loop {
            self.run();
            match self.proxy.deadline() {
                Some(at) if at < until => self.now = at.max(self.now + 1),
                _ => break,
            }
        }
        self.now = until;
        self.run();
    }

    fn connect(&mut self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.admit(theirs.into());
        ours
    }

    fn admit(&mut self, socket: OwnedFd) {
        let caller = balance::Client::unknown(0);
        self.proxy
            .accept(GATE, socket, super::Peer::new(&[1, 0], None, caller), None)
            .unwrap();
    }

    /// A client that has this address.
    fn connect_from(&mut self, address: &str) -> UnixStream {
        let address: IpAddr = address.parse().unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let caller = balance::Client::at(address);
        let accepted = self.proxy.accept(
            GATE,
            theirs.into(),
            super::Peer::new(&[1, 0], Some(address), caller),
            None,
        );
        accepted.unwrap();
        ours
    }

    fn send(&mut self, stream: &mut UnixStream, bytes: impl AsRef<[u8]>) {
        stream.write_all(bytes.as_ref()).unwrap();
        self.run();
    }

    /// A worker takes the oldest connection in its channel.
    fn take(&mut self) -> (MemberId, UnixStream) {
        let (member, end) = self.channels.lying.pop_front().unwrap();
        let stream = UnixStream::from(end);
        stream.set_nonblocking(true).unwrap();
        (member, stream)
    }
}

/// What has arrived, and whether the connection has ended behind it.
fn arrived(stream: &mut UnixStream) -> (String, bool) {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).is_ok();
    (String::from_utf8(bytes).unwrap(), ended)
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
