//! The successor, as the old proxy sees it: what is sent there, in its order, as fast as it is taken.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use balance::Nanos;
use rustix::event::epoll;
use rustix::io::Errno;
use wire::{Address, MOVED_LEN, Moved, Way};

use super::{HEIR, SUCCESSOR, predecessor};
use crate::context::Context;
use crate::downstream::client::{Client, Phase, Source, Step};
use crate::downstream::leave::close_all;
use crate::exchange::Stage;
use crate::io::Io;
use crate::listener::Listener;
use crate::slab::{Key, Slab};
use crate::upstream::Upstream;
use crate::upstream::connection::UpstreamConnection;
use http1::Refusal;

/// So many of a client's bytes go in one message at most, and so few at least: the kernel may take no
/// larger ones.
const PORTION: usize = 16 * 1024;
const LEAST: usize = 256;

/// Where the kernel lacks something, it is tried again after this.
const PAUSE: Nanos = 10_000_000;

/// Who comes after this proxy.
#[derive(Debug, Default)]
pub(crate) enum Heir {
    /// Nobody is known.
    #[default]
    None,
    Successor(Box<Successor>),
    /// It has gone: what is in progress comes to its end, and nothing else is served.
    Lost,
}

impl Heir {
    /// When to try again to send something.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        match self {
            Self::Successor(successor) => successor.try_at,
            Self::None | Self::Lost => None,
        }
    }

    /// The successor, if there is one.
    pub(crate) fn successor(&mut self) -> Option<&mut Successor> {
        match self {
            Self::Successor(successor) => Some(successor),
            Self::None | Self::Lost => None,
        }
    }

    /// Whether this proxy has no workers of its own any more.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether clients may move.
    pub(crate) fn takes_clients(&self) -> bool {
        matches!(self, Self::Successor(_))
    }
}

/// The way to the successor.
#[derive(Debug)]
pub(crate) struct Successor {
    socket: OwnedFd,
    letters: VecDeque<Letter>,
    /// The connections whose other ends went there, with their numbers.
    placed: Vec<(Key, u64)>,
    portion: usize,
    /// When to try again what the kernel had no room for.
    try_at: Option<Nanos>,
    is_gone: bool,
}

/// A client that moves.
#[derive(Debug)]
pub(crate) struct Parting {
    pub(crate) source: Source,
    pub(crate) served: bool,
    /// Its PROXY header is still to come.
    pub(crate) header: bool,
    /// What has been read from it and not been answered.
    pub(crate) bytes: Vec<u8>,
}

/// What is sent: a message, with the bytes that follow it, in as many pieces as they need.
#[derive(Debug)]
struct Letter {
    message: [u8; MOVED_LEN],
    len: usize,
    descriptor: Option<OwnedFd>,
    client: Option<Box<Parting>>,
    has_begun: bool,
    sent: usize,
}

impl Letter {
    fn new(message: Moved, descriptor: Option<OwnedFd>, client: Option<Box<Parting>>) -> Self {
        let (message, len) = message.encode();
        Self {
            message,
            len,
            descriptor,
            client,
            has_begun: false,
            sent: 0,
        }
    }

    fn rest(&self) -> &[u8] {
        let bytes = self
            .client
            .as_ref()
            .and_then(|it| it.bytes.get(self.sent..));
        bytes.unwrap_or(&[])
    }

    /// Sends its next piece. Whether that was the last one.
    fn send(&mut self, to: &OwnedFd, portion: usize) -> std::io::Result<bool> {
        let rest = self.rest();
        let part = rest.get(..portion).unwrap_or(rest);
        let (rest_head, rest_len) = Moved::Rest.encode();
        let (head, descriptor) = match self.has_begun {
            false => (self.message.get(..self.len), self.descriptor.as_ref()),
            true => (rest_head.get(..rest_len), None),
        };
        let piece = [head.unwrap_or(&[]), part].concat();
        let sent = part.len();
        sys::send(to.as_fd(), &piece, descriptor.map(AsFd::as_fd))?;
        self.has_begun = true;
        self.sent += sent;
        Ok(self.rest().is_empty())
    }
}

impl Successor {
    /// The successor is at the other end of this socket.
    ///
    /// # Errors
    /// If the kernel cannot watch it.
    pub(crate) fn new(socket: OwnedFd, io: &Io) -> Result<Self, Errno> {
        let data = epoll::EventData::new_u64(io.kind | SUCCESSOR);
        let flags = epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&io.epoll, &socket, data, flags)?;
        Ok(Self {
            socket,
            letters: VecDeque::new(),
            placed: Vec::new(),
            portion: PORTION,
            try_at: None,
            is_gone: false,
        })
    }

    /// Something has happened at the socket.
    pub(crate) fn note(&mut self, flags: epoll::EventFlags, now: Nanos) {
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        self.is_gone |= flags.intersects(ends);
        self.send(now);
    }

    /// A client moves, with its connection.
    pub(crate) fn send_client(
        &mut self,
        client: Parting,
        socket: OwnedFd,
        listener: &Listener,
        now: Nanos,
    ) {
        let message = Moved::Client {
            way: way(&client.source, listener),
            served: client.served,
            header: client.header,
            bytes: u32::try_from(client.bytes.len()).unwrap_or(u32::MAX),
        };
        let client = Some(Box::new(client));
        self.letters
            .push_back(Letter::new(message, Some(socket), client));
        self.send(now);
    }

    /// A worker has a request in progress, over this connection.
    pub(crate) fn tell_held(&mut self, key: Key, connection: &UpstreamConnection, lasts: bool) {
        let message = Moved::Held {
            number: connection.number,
            channel: connection.member.0,
            lasts,
        };
        self.letters.push_back(Letter::new(message, None, None));
        self.placed.push((key, connection.number));
    }

    /// What another proxy, which this one has replaced, has sent here is the successor's affair.
    pub(crate) fn pass_on(&mut self, message: &Moved, end: Option<OwnedFd>, now: Nanos) {
        self.letters.push_back(Letter::new(*message, end, None));
        self.send(now);
    }

    /// How many clients have not left yet.
    pub(crate) fn unsent(&self) -> usize {
        self.letters.len()
    }

    /// Tells of the requests that are over, and sends what waits.
    pub(crate) fn end_turn(&mut self, upstream: &Upstream, now: Nanos) {
        let letters = &mut self.letters;
        self.placed.retain(|(key, number)| {
            let is_open = upstream.connections.get(*key).is_some();
            if !is_open {
                letters.push_back(Letter::new(Moved::Over(*number), None, None));
            }
            is_open
        });
        if self.try_at.is_none_or(|at| at <= now) {
            self.send(now);
        }
    }

    fn send(&mut self, now: Nanos) {
        self.try_at = None;
        while !self.is_gone
            && let Some(letter) = self.letters.front_mut()
        {
            let error = match letter.send(&self.socket, self.portion) {
                Ok(true) => {
                    self.letters.pop_front();
                    continue;
                }
                Ok(false) => continue,
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                Some(Errno::INTR) => {}
                // An event tells when there is room again.
                Some(Errno::AGAIN) => return,
                // Too many descriptors are on their way, or there is no memory.
                Some(Errno::TOOMANYREFS | Errno::NOBUFS | Errno::NOMEM) => {
                    self.try_at = Some(now + PAUSE);
                    return;
                }
                Some(Errno::MSGSIZE) if self.portion > LEAST => self.portion /= 2,
                _ => self.is_gone = true,
            }
        }
    }
}

fn way(source: &Source, listener: &Listener) -> Way {
    let address = |bytes| Address::new(bytes).unwrap_or(Address::NONE);
    Way {
        peer: address(source.peer.sockaddr()),
        address: source.peer.address,
        local: source.local,
        listener: address(&listener.sockaddr),
    }
}

/// Has the successor place a client's request: the worker's end of its connection goes there.
pub(crate) fn place(client: &mut Client, cx: &mut Context) -> Result<Step, Refusal> {
    let (source, ends, now) = (client.source(), client.ends(), cx.io.now);
    let Context {
        upstream,
        listeners,
        heir,
        io,
        settings,
        ..
    } = cx;
    let Some(successor) = heir.successor() else {
        return Err(Refusal::NoWorker);
    };
    let Phase::Serving(exchange) = &mut client.phase else {
        return Ok(Step::Wait);
    };
    let Some(listener) = listeners.get_mut(source.listener) else {
        return Ok(Step::Over);
    };
    let (key, end) = match std::mem::replace(&mut exchange.stage, Stage::Waiting) {
        stage @ Stage::With(..) => {
            exchange.stage = stage;
            return Ok(Step::Wait);
        }
        Stage::Returned(key, end) => (key, end),
        Stage::Waiting => {
            let local = listener.local(source.local);
            let made = upstream.open_at(HEIR, ends, source.peer.sockaddr(), &local, io);
            let (key, end) = made.map_err(|trouble| {
                exchange.trouble = Some(trouble);
                Refusal::NoWorker
            })?;
            let head = std::mem::take(&mut exchange.head);
            if let Some(connection) = upstream.connections.get_mut(key) {
                // It lies there before the worker has it.
                let _ = connection.link.send(&head, &[], &io.epoll);
                connection.client = Some(client.key);
            }
            let retries = settings.retry_idempotent;
            upstream.batch.keep_head(Some(exchange), head, retries);
            (key, end)
        }
    };
    listener
        .balancer
        .cancel(exchange.arrival(client.key).ticket);
    exchange.stage = Stage::With(HEIR, key);
    exchange.sent_at = now;
    let Some(connection) = upstream.connections.get_mut(key) else {
        return Ok(Step::On);
    };
    connection.member = HEIR;
    connection.asked_at = now;
    let message = Moved::Request {
        way: way(&source, listener),
        number: connection.number,
        wants: exchange.wants,
    };
    successor.placed.push((key, connection.number));
    successor
        .letters
        .push_back(Letter::new(message, Some(end), None));
    successor.send(now);
    // Its body is not late for having waited with it.
    client.active_at = now;
    Ok(Step::On)
}

/// What a turn has brought about at the successor. Where that is gone, those who were about to move stay,
/// and are treated as where the app stops.
pub(crate) fn end_turn(clients: &mut Slab<Client>, cx: &mut Context) {
    let now = cx.io.now;
    let Some(successor) = cx.heir.successor() else {
        return;
    };
    successor.end_turn(&cx.upstream, now);
    if !successor.is_gone {
        return;
    }
    let Heir::Successor(lost) = std::mem::replace(&mut cx.heir, Heir::Lost) else {
        return;
    };
    for letter in lost.letters {
        if let (Some(client), Some(socket)) = (letter.client, letter.descriptor) {
            // One for which there is no place any more is closed.
            let _ = predecessor::admit(*client, socket, clients, cx);
        }
    }
    cx.is_closing = true;
    close_all(clients, cx);
    for (key, _) in clients.iter() {
        cx.ready.wake(key);
    }
}
