//! A proxy that is replaced, and the one that goes on with its clients: no byte of a request is lost or
//! comes twice, and each request is answered once.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair, sockopt};

use super::*;

mod chains;
mod moving;
mod placed;
mod staying;
mod tls;

/// The two proxies, each with workers of its own.
struct Two {
    old: World,
    new: World,
}

/// Both ends of the way from one proxy to the other.
fn way() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

impl Two {
    fn with(old: World, settings: Settings) -> Self {
        let new = World::new(1, settings);
        Self { old, new }.begin()
    }

    fn begin(self) -> Self {
        let mut two = self;
        let (successor, predecessor) = way();
        two.new.proxy.follow(predecessor).unwrap();
        two.old.hand_over(successor);
        two.run();
        two
    }

    /// The first has these clients, and hands them over.
    fn after(old: World) -> Self {
        Self::with(old, settings(RequestPolicy::NextAvailable))
    }

    fn run(&mut self) {
        for _ in 0..10_000 {
            let any = [&mut self.old, &mut self.new].map(|world| {
                let any = world.see_to_events();
                world.end_turn() || any
            });
            if any == [false, false] {
                return;
            }
        }
        panic!("the proxies do not come to rest");
    }

    fn send(&mut self, stream: &mut UnixStream, bytes: impl AsRef<[u8]>) {
        stream.write_all(bytes.as_ref()).unwrap();
        self.run();
    }

    /// A worker of the new proxy's answers what the client has asked; what that was.
    fn answer(&mut self) -> String {
        let (_, mut worker) = self.new.take();
        let asked = arrived(&mut worker).0;
        self.send(&mut worker, LAST);
        asked
    }

    fn clients(&self) -> (usize, usize) {
        (self.old.proxy.clients.len(), self.new.proxy.clients.len())
    }
}

impl World {
    fn hand_over(&mut self, successor: OwnedFd) {
        self.proxy.set_time(self.now);
        self.proxy.hand_over(successor, &mut self.channels);
    }

    fn total(&self) -> u64 {
        self.proxy.figures(GATE).unwrap().total
    }
}

fn one_at_a_time() -> Settings {
    let mut settings = settings(RequestPolicy::NextAvailable);
    settings.balance.max_concurrency = 1;
    settings
}

fn old() -> World {
    World::new(1, settings(RequestPolicy::NextAvailable))
}

/// A client with its request at a worker.
fn at_worker(world: &mut World, request: impl AsRef<[u8]>) -> (UnixStream, UnixStream) {
    let mut client = world.connect();
    world.send(&mut client, request);
    let (_, mut worker) = world.take();
    arrived(&mut worker);
    (client, worker)
}

fn get(path: &str) -> String {
    format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A worker's connection is not used again after it.
const LAST: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
