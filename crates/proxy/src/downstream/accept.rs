//! Clients that come: over connections of their own, named by a balancer, or as streams.

use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;

use rustls::ServerConnection;

use super::carrier::Carrier;
use super::client::{Client, Phase, Source, Step};
use super::http2;
use super::http2::session::Opening;
use super::http2::stream::Stream;
use super::proxy_header::{self, Header};
use crate::context::Context;
use crate::limits::idle_eviction::make_place;
use crate::limits::shares::Sharer;
use crate::link::{Input, Link, prepare};
use crate::slab::{Key, Slab};

/// A client has connected. `tls` is spoken over its connection, if there is any.
///
/// # Errors
/// If the kernel cannot watch the connection, or its address has as many places as one may have.
pub(crate) fn accept(
    socket: OwnedFd,
    source: Source,
    tls: impl FnOnce() -> io::Result<Option<ServerConnection>>,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) -> io::Result<()> {
    let beginning = Beginning {
        phase: match cx.settings.proxy_protocol {
            true => Phase::ProxyHeader,
            false => Phase::reading(cx.io.now),
        },
        served: false,
        input: Input::default(),
    };
    let listener = source.listener;
    let key = admit(socket, source, beginning, tls, clients, cx)?;
    if cx.listeners.passes_whole(listener) {
        // Its client waits for the worker to speak.
        cx.ready.wake(key);
    }
    Ok(())
}

/// How a client begins.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) phase: Phase,
    /// It has had a response.
    pub(crate) served: bool,
    /// What has been read from it.
    pub(crate) input: Input,
}

/// Gives a client's connection a place among the others.
///
/// # Errors
/// As [`accept`].
pub(crate) fn admit(
    socket: OwnedFd,
    mut source: Source,
    beginning: Beginning,
    tls: impl FnOnce() -> io::Result<Option<ServerConnection>>,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) -> io::Result<Key> {
    // Before a PROXY header it is the balancer's, which may open as many as it likes.
    if !matches!(beginning.phase, Phase::ProxyHeader) {
        source.sharer = Sharer::of_client(source.peer.address, &cx.settings.trusted);
    }
    if !make_place(source.sharer, source.peer.address, clients, cx) {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    prepare(&socket);
    let now = cx.io.now;
    let tls = tls()?;
    let key = clients.insert(|key| {
        let link = Link::new(socket, &cx.io.epoll, cx.io.kind | key.bits())?.with_tls(tls);
        let (carrier, phase) = (Carrier::Connection, beginning.phase);
        let mut client = Client::new(key, link, carrier, source, phase, now);
        client.served = beginning.served;
        client.link.input = beginning.input;
        Ok::<_, io::Error>(client)
    })?;
    cx.limits.shares.enter(source.sharer);
    Ok(key)
}

/// Reads the PROXY header, after which the connection counts towards the client that it names.
pub(crate) fn read_proxy_header(key: Key, clients: &mut Slab<Client>, cx: &mut Context) -> Step {
    let Some(client) = clients.get_mut(key) else {
        return Step::Wait;
    };
    let address = match proxy_header::read(client, cx) {
        Header::Complete => client.peer.address,
        Header::Not(step) => return step,
    };
    let sharer = Sharer::of_client(address, &cx.settings.trusted);
    // Others may have to go for it.
    if !make_place(sharer, address, clients, cx) {
        return Step::Over;
    }
    if let Some(client) = clients.get_mut(key) {
        let before = std::mem::replace(&mut client.sharer, sharer);
        cx.limits.shares.leave(before);
        cx.limits.shares.enter(sharer);
    }
    Step::On
}

/// Serves an HTTP/2 connection; each stream that it has opened becomes a client of its own.
pub(crate) fn serve_http2(key: Key, clients: &mut Slab<Client>, cx: &mut Context) -> Step {
    let Some(client) = clients.get_mut(key) else {
        return Step::Wait;
    };
    let (step, opened) = http2::serve::pass(client, cx);
    let (source, is_tls) = (client.source(), client.link.is_tls());
    for opening in opened {
        open_stream(key, opening, source, is_tls, clients, cx);
    }
    step
}

fn open_stream(
    session: Key,
    mut opening: Opening,
    source: Source,
    is_tls: bool,
    clients: &mut Slab<Client>,
    cx: &mut Context,
) {
    let most = cx.limits.capacity.clients;
    let has_place = cx.limits.shares.has_place(source.sharer, most);
    if clients.len() >= most || !has_place || cx.is_closing {
        opening.refuse();
        return;
    }
    let now = cx.io.now;
    let made = clients.insert(|key| {
        let head = opening.head();
        let stream = Stream::new(opening, is_tls, cx.ready.wakers.waker(key));
        let link = Link::stream(stream, head);
        let (carrier, phase) = (Carrier::Stream(session), Phase::reading(now));
        Ok::<_, Infallible>(Client::new(key, link, carrier, source, phase, now))
    });
    let Ok(key) = made;
    cx.limits.shares.enter(source.sharer);
    cx.ready.wake(key);
}
