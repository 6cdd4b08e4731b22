//! What comes from the proxy of the supervisor that this one replaces.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use balance::{Client as Caller, MemberId};
use rustix::event::epoll;
use rustix::io::Errno;
use wire::{Moved, Way};

use super::adopted::{self, New};
use super::successor::Parting;
use super::{MOST_BYTES, PREDECESSOR};
use crate::context::Context;
use crate::downstream::accept::{Beginning, admit as begin};
use crate::downstream::client::{Client, Phase, Source};
use crate::link::Input;
use crate::slab::Slab;
use crate::timeouts::SWEEP;
use crate::{Peer, Proxy};

/// So many messages are read before others have their turn.
const LOT: usize = 32;

/// The way from the predecessor.
#[derive(Debug)]
pub(crate) struct Predecessor {
    socket: OwnedFd,
    listens: bool,
    /// A client of whose bytes more are to come.
    partial: Option<Partial>,
}

#[derive(Debug)]
struct Partial {
    client: Parting,
    socket: OwnedFd,
    total: usize,
}

impl Predecessor {
    fn listen(&mut self, on: bool, cx: &Context) {
        if std::mem::replace(&mut self.listens, on) != on {
            let data = epoll::EventData::new_u64(cx.io.kind | PREDECESSOR);
            // Of a descriptor that is in the epoll this cannot fail.
            let _ = epoll::modify(&cx.io.epoll, &self.socket, data, flags(on));
        }
    }
}

fn flags(on: bool) -> epoll::EventFlags {
    match on {
        true => epoll::EventFlags::IN,
        false => epoll::EventFlags::empty(),
    }
}

impl Proxy {
    /// Takes over the clients of the proxy at the other end of this socket.
    ///
    /// # Errors
    /// If the kernel cannot watch it.
    pub fn follow(&mut self, predecessor: OwnedFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(self.cx.io.kind | PREDECESSOR);
        epoll::add(&self.cx.io.epoll, &predecessor, data, flags(true))?;
        self.predecessor = Some(Predecessor {
            socket: predecessor,
            listens: true,
            partial: None,
        });
        Ok(())
    }

    /// Whether another proxy may still send its clients.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// Takes some of what the predecessor has sent, as far as there is room for it.
    pub(crate) fn hear_predecessor(&mut self) {
        let Some(mut predecessor) = self.predecessor.take() else {
            return;
        };
        let mut buffer = std::mem::take(&mut self.cx.io.read_buffer);
        let mut is_open = true;
        for _ in 0..LOT {
            if !self.make_room_at_once() {
                predecessor.listen(false, &self.cx);
                break;
            }
            match sys::receive_all(predecessor.socket.as_fd(), &mut buffer) {
                Ok((0, _)) => is_open = false,
                Ok((len, mut sent)) => {
                    let descriptor = sent.pop().filter(|_| sent.is_empty());
                    let message = Moved::decode(buffer.get(..len).unwrap_or(&[]));
                    self.hear(message, descriptor, &mut predecessor.partial);
                    continue;
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => continue,
                    Some(Errno::AGAIN) => {}
                    // Without a descriptor for what comes, it waits.
                    Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                        predecessor.listen(false, &self.cx);
                    }
                    _ => is_open = false,
                },
            }
            break;
        }
        self.cx.io.read_buffer = buffer;
        if is_open {
            self.predecessor = Some(predecessor);
        } else {
            adopted::end_all(&mut self.cx);
        }
        if self.sweep_at <= self.cx.io.now {
            self.sweep_at = self.cx.io.now + SWEEP;
        }
    }

    /// Hears the predecessor again where there is room again.
    pub(crate) fn resume_predecessor(&mut self) {
        if self.has_room()
            && let Some(predecessor) = &mut self.predecessor
        {
            predecessor.listen(true, &self.cx);
        }
    }

    /// One message. What is not understood, or comes at a wrong time, is closed with what came along.
    fn hear(
        &mut self,
        message: Option<(Moved, &[u8])>,
        descriptor: Option<OwnedFd>,
        partial: &mut Option<Partial>,
    ) {
        let before = partial.take();
        match (message, descriptor) {
            (Some((Moved::Rest, more)), None) => {
                if let Some(mut client) = before {
                    client.client.bytes.extend_from_slice(more);
                    *partial = self.complete(client);
                }
            }
            (
                Some((
                    Moved::Client {
                        way,
                        served,
                        header,
                        bytes,
                    },
                    begun,
                )),
                Some(socket),
            ) => {
                let total = usize::try_from(bytes).unwrap_or(usize::MAX);
                let source = source(&way, &mut self.cx);
                if let Some(source) = source.filter(|_| total <= MOST_BYTES) {
                    let client = Parting {
                        source,
                        served,
                        header,
                        bytes: begun.to_vec(),
                    };
                    *partial = self.complete(Partial {
                        client,
                        socket,
                        total,
                    });
                }
            }
            (Some((Moved::Request { way, number, wants }, _)), Some(end)) => {
                if let Some(source) = source(&way, &mut self.cx) {
                    self.cx.adopted.add(New {
                        listener: source.listener,
                        end,
                        way,
                        number: Some(number),
                        caller: source.peer.caller,
                        wants,
                    });
                }
            }
            (
                Some((
                    Moved::Held {
                        number,
                        channel,
                        lasts,
                    },
                    _,
                )),
                None,
            ) => adopted::held(number, MemberId(channel), lasts, &mut self.cx),
            (Some((Moved::Over(number), _)), None) => adopted::end(number, &mut self.cx),
            _ => {}
        }
    }

    /// A client all of whose bytes have come connects. Gives one back that is not complete.
    fn complete(&mut self, partial: Partial) -> Option<Partial> {
        match partial.client.bytes.len() {
            len if len < partial.total => return Some(partial),
            len if len == partial.total => {
                // One that the kernel cannot watch is closed, and so is one whose address has too many.
                let _ = admit(
                    partial.client,
                    partial.socket,
                    &mut self.clients,
                    &mut self.cx,
                );
            }
            // More than was announced.
            _ => {}
        }
        None
    }
}

/// Where a connection of the predecessor's came in here; none if no listener is there any more.
fn source(way: &Way, cx: &mut Context) -> Option<Source> {
    let mut listeners = cx.listeners.iter();
    let (listener, _) =
        listeners.find(|(_, it)| !it.shut && it.sockaddr == way.listener.as_bytes())?;
    let address = way.address.map(|address| address.to_canonical());
    let caller = match address {
        Some(address) => Caller::at(address),
        None => Caller::unknown(cx.outcomes.next_id()),
    };
    Some(Source {
        listener,
        peer: Peer::new(way.peer.as_bytes(), address, caller),
        local: way.local,
        sharer: None,
    })
}

/// A client of another proxy, or one that was to move and cannot, is served here, as if it had just connected
/// and said so much.
pub(crate) fn admit(
    client: Parting,
    socket: OwnedFd,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) -> io::Result<()> {
    let beginning = Beginning {
        phase: match client.header {
            true => Phase::ProxyHeader,
            false => Phase::reading(cx.io.now),
        },
        served: client.served,
        input: Input::of(&client.bytes),
    };
    let key = begin(socket, client.source, beginning, || Ok(None), clients, cx)?;
    cx.ready.wake(key);
    Ok(())
}
