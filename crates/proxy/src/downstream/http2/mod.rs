//! HTTP/2 towards clients. The crate `h2` speaks it, without a runtime: what it waits for rings a
//! [`bell`], and the client concerned is driven on. Each stream of a [`Session`] becomes a client of
//! its own, which asks one thing in the words of HTTP/1.1 and leaves: so requests of both versions
//! pass the same checks, limits and workers. (RFC 9113.)

mod flood;
mod message;
mod session;
mod stream;
mod transport;
mod waker;

use std::task::Poll;

use crate::downstream::client::{Client, Phase};
use crate::exchange::Step;
use crate::limits::shares::Share;
use crate::link::{Input, Link, Read};
use crate::slab::Key;
use crate::{Proxy, STEPS};

pub(crate) use message::PREFACE;
pub(crate) use session::{Session, Standing};
pub(crate) use stream::Stream;
pub(crate) use waker::Bells;

impl Proxy {
    /// A client speaks HTTP/2 from now on.
    pub(crate) fn speak_http2(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        // There each field counts for 32 bytes more than it has. (RFC 9113, 6.5.2.)
        let head = self.settings.head + 32 * self.settings.fields;
        let head = u32::try_from(head).unwrap_or(u32::MAX);
        let session = Session::new(self.bells.bell(key), head, self.now);
        client.phase = Phase::Session(Box::new(session));
        client.served = true;
        Step::On
    }

    /// Passes on what there is between the socket of an HTTP/2 connection and its streams.
    pub(crate) fn converse(&mut self, key: Key) -> Step {
        let Some(client) = self.clients.get_mut(key) else {
            return Step::Wait;
        };
        let Phase::Session(session) = &mut client.phase else {
            return Step::Wait;
        };
        let mut any = false;
        if session.is_hungry() {
            let mut kept = std::mem::take(&mut client.link.input);
            let read = if kept.is_empty() {
                client.link.read(&mut self.room, &self.epoll)
            } else {
                Read::Some(kept.len())
            };
            match read {
                Read::Some(len) => {
                    any = true;
                    client.active_at = self.now;
                    let is_new = kept.is_empty();
                    let bytes: &[u8] = match is_new {
                        true => self.room.get(..len).unwrap_or(&[]),
                        false => &kept,
                    };
                    let taken = session.feed(bytes, self.now);
                    client.link.add_work(taken.units);
                    if taken.is_flood {
                        // What follows is not heard.
                    } else if is_new {
                        client.link.input = Input::of(bytes.get(taken.len..).unwrap_or(&[]));
                    } else {
                        kept.advance(taken.len);
                        client.link.input = kept;
                    }
                }
                Read::Nothing => {}
                Read::End => session.feed_end(),
                Read::Broken => return Step::Over,
            }
        }
        let mut over = false;
        let mut opened = Vec::new();
        if !client.link.is_clogged() {
            while opened.len() < STEPS {
                match session.poll() {
                    Poll::Ready(Some(opening)) => opened.push(opening),
                    Poll::Ready(None) => {
                        over = true;
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            let said = session.said();
            if client.link.send(&said, &[], &self.epoll).is_err() {
                return Step::Over;
            }
            any |= !said.is_empty();
        }
        any |= !opened.is_empty();
        for opening in opened {
            self.open_stream(key, opening);
        }
        if over {
            // Its last words are on their way.
            self.leaving(key)
        } else if any {
            Step::On
        } else {
            Step::Wait
        }
    }

    /// A stream becomes a client of its own.
    fn open_stream(&mut self, session: Key, mut opening: session::Opening) {
        let Some(client) = self.clients.get(session) else {
            return;
        };
        let sharer = client.sharer;
        let has_place = self.shares.has_place(sharer, self.most_clients());
        if !self.has_room() || !has_place || self.closing {
            opening.refuse();
            return;
        }
        let (gate, peer, tls, now) = (client.gate, client.peer, client.link.is_tls(), self.now);
        let local = client.local;
        let bells = &self.bells;
        let made = self.clients.insert(|key| {
            let head = opening.head();
            let stream = Stream::new(opening, session, tls, bells.bell(key));
            Ok::<_, std::convert::Infallible>(Client {
                link: Link::stream(stream, head),
                gate,
                peer,
                local,
                phase: Phase::reading(now),
                active_at: now,
                served: false,
                sharer,
                share: Share::default(),
                is_deferred: false,
            })
        });
        self.shares.enter(sharer);
        let Ok(key) = made;
        self.again.push_back(key);
    }

    /// A client of an HTTP/2 connection is gone; whether it had its response.
    pub(crate) fn stream_ended(&mut self, session: Key, complete: bool) {
        if let Some(client) = self.clients.get_mut(session)
            && let Phase::Session(session) = &mut client.phase
        {
            session.stream_ended(complete);
        }
    }
}
