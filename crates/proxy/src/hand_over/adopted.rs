//! Requests that another proxy has in progress, and that this one places: each is the worker's end of a
//! connection, in which the request lies. They wait, and are counted, like requests of this proxy's own.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};

use balance::{Arrival, Client as Caller, MemberId, Nanos, Placed, Ticket};
use wire::{Address, Moved, Way};

use crate::Workers;
use crate::context::Context;
use crate::upstream::connection::number_of;
use crate::upstream::loops::View;

/// The tickets of such requests lie above those of clients, which are keys.
const TICKETS: u64 = 1 << 60;

/// Of a request whose worker has it already.
const NOWHERE: Way = Way {
    peer: Address::NONE,
    address: None,
    local: None,
    listener: Address::NONE,
};

/// One that is to be placed.
#[derive(Debug)]
pub(crate) struct New {
    pub(crate) listener: u64,
    pub(crate) end: OwnedFd,
    /// Where it comes from.
    pub(crate) way: Way,
    /// What the other proxy will tell its end by; none if it will not.
    pub(crate) number: Option<u64>,
    pub(crate) caller: Caller,
    pub(crate) wants: Option<u64>,
}

#[derive(Debug)]
struct Request {
    listener: u64,
    /// Where it waits.
    end: Option<OwnedFd>,
    /// What has it, or has it in its channel.
    member: Option<MemberId>,
    way: Way,
    number: Option<u64>,
    arrival: Arrival,
    since: Nanos,
    /// It may last as long as its client likes.
    lasts: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Adopted {
    new: VecDeque<New>,
    requests: HashMap<Ticket, Request>,
    by_number: HashMap<u64, Ticket>,
    last: u64,
}

impl Adopted {
    /// One has come.
    pub(crate) fn add(&mut self, new: New) {
        self.new.push_back(new);
    }

    /// Whether some are to be placed.
    pub(crate) fn has_new(&self) -> bool {
        !self.new.is_empty()
    }

    /// How many descriptors they have.
    pub(crate) fn descriptors(&self) -> usize {
        let waiting = self.requests.values().filter(|it| it.end.is_some());
        self.new.len() + waiting.count()
    }

    /// One that a worker among these has. Those that may last for ever count with `opaque` only.
    pub(crate) fn awaited(&self, members: &[MemberId], opaque: bool) -> Option<Ticket> {
        let mut requests = self.requests.iter();
        let found = requests.find(|(_, it)| it.is_awaited(members, opaque));
        found.map(|(ticket, _)| *ticket)
    }

    /// Whether this is such a one.
    pub(crate) fn is_awaited(&self, ticket: Ticket, members: &[MemberId], opaque: bool) -> bool {
        let request = self.requests.get(&ticket);
        request.is_some_and(|it| it.is_awaited(members, opaque))
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last += 1;
        Ticket(TICKETS + self.last)
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Request> {
        let request = self.requests.remove(&ticket)?;
        if let Some(number) = request.number {
            self.by_number.remove(&number);
        }
        Some(request)
    }
}

impl Request {
    fn is_awaited(&self, members: &[MemberId], opaque: bool) -> bool {
        let member = self.member.filter(|_| opaque || !self.lasts);
        member.is_some_and(|member| members.contains(&member))
    }
}

/// A worker has one in progress that the other proxy has given to it.
pub(crate) fn held(number: u64, member: MemberId, lasts: bool, cx: &mut Context) {
    let now = cx.io.now;
    if let Some(successor) = cx.heir.successor() {
        let message = Moved::Held {
            number,
            channel: member.0,
            lasts,
        };
        return successor.pass_on(&message, None, now);
    }
    let Some(id) = cx.upstream.pools.get(&member).map(|pool| pool.listener) else {
        return;
    };
    let Some(listener) = cx.listeners.get_mut(id) else {
        return;
    };
    let ticket = cx.adopted.next_ticket();
    listener.balancer.resume(now, member);
    let request = Request {
        listener: id,
        end: None,
        member: Some(member),
        way: NOWHERE,
        number: Some(number),
        arrival: Arrival {
            ticket,
            client: Caller::unknown(number),
            wants: None,
            failed: None,
        },
        since: now,
        lasts,
    };
    cx.adopted.by_number.insert(number, ticket);
    cx.adopted.requests.insert(ticket, request);
}

/// Whether a ticket is one of these, and no client's.
pub(crate) fn is_one(ticket: Ticket) -> bool {
    ticket.0 >= TICKETS
}

/// Asks for workers for those that have come.
pub(crate) fn place_new<W: Workers>(cx: &mut Context, workers: &mut W) {
    while let Some(new) = cx.adopted.new.pop_front() {
        let now = cx.io.now;
        if let Some(successor) = cx.heir.successor() {
            let New {
                way,
                number,
                wants,
                end,
                ..
            } = new;
            successor.pass_on(&request(way, number, wants, &end), Some(end), now);
            continue;
        }
        let Some(listener) = cx.listeners.get_mut(new.listener) else {
            continue;
        };
        let ticket = cx.adopted.next_ticket();
        let arrival = Arrival {
            ticket,
            client: new.caller,
            wants: new.wants,
            failed: None,
        };
        let mut view = View {
            workers,
            now,
            upstream: &cx.upstream,
        };
        let placed = listener.balancer.arrive(now, arrival, &mut view);
        if let Some(number) = new.number {
            cx.adopted.by_number.insert(number, ticket);
        }
        let request = Request {
            listener: new.listener,
            end: Some(new.end),
            member: None,
            way: new.way,
            number: new.number,
            arrival,
            since: now,
            lasts: false,
        };
        cx.adopted.requests.insert(ticket, request);
        match placed {
            Placed::At(member) => hand(ticket, member, cx, workers),
            Placed::Waits => cx.ready.place_at(new.listener),
            Placed::Refused => drop(cx.adopted.remove(ticket)),
        }
    }
}

/// What the next proxy is told of one that it is to place.
fn request(way: Way, number: Option<u64>, wants: Option<u64>, end: &OwnedFd) -> Moved {
    Moved::Request {
        way,
        // Nobody tells when one without a number is over: it is when all are.
        number: number.or_else(|| number_of(end)).unwrap_or(0),
        wants,
    }
}

/// Another proxy goes on with all of them: those that wait go there, and it is told of the others.
pub(crate) fn hand_over(cx: &mut Context) {
    let now = cx.io.now;
    let Some(successor) = cx.heir.successor() else {
        return;
    };
    cx.adopted.by_number.clear();
    for (ticket, it) in cx.adopted.requests.drain() {
        if let Some(end) = it.end {
            if let Some(listener) = cx.listeners.get_mut(it.listener) {
                listener.balancer.cancel(ticket);
            }
            let message = request(it.way, it.number, it.arrival.wants, &end);
            successor.pass_on(&message, Some(end), now);
        } else if let (Some(number), Some(member)) = (it.number, it.member) {
            let message = Moved::Held {
                number,
                channel: member.0,
                lasts: it.lasts,
            };
            successor.pass_on(&message, None, now);
        }
    }
}

/// Gives one to the worker that was chosen for it.
pub(crate) fn hand<W: Workers>(
    ticket: Ticket,
    member: MemberId,
    cx: &mut Context,
    workers: &mut W,
) {
    let now = cx.io.now;
    let pool = cx.upstream.pools.get(&member);
    let Some(listener) = pool.and_then(|pool| cx.listeners.get_mut(pool.listener)) else {
        return;
    };
    let request = cx.adopted.requests.get_mut(&ticket);
    let Some((request, end)) = request.and_then(|it| it.end.take().map(|end| (it, end))) else {
        listener.balancer.left(now, member, ticket);
        return;
    };
    match workers.hand(member, end, request.way.peer.as_bytes()) {
        Ok(()) => {
            request.member = Some(member);
            if request.number.is_none() {
                // Nobody would tell when it is over.
                listener.balancer.ended(now, member);
                cx.adopted.remove(ticket);
            }
        }
        Err(end) => {
            request.end = Some(end);
            let (arrival, since) = (request.arrival, request.since);
            listener.balancer.came_back(now, member, arrival, since);
        }
    }
}

/// What came back out of a worker's channel is no connection of this proxy's: it waits again.
pub(crate) fn came_back(end: OwnedFd, member: MemberId, listener: u64, cx: &mut Context) {
    let number = number_of(&end);
    let ticket = number.and_then(|number| cx.adopted.by_number.get(&number));
    if let Some(request) = ticket.and_then(|ticket| cx.adopted.requests.get_mut(ticket)) {
        request.end = Some(end);
        request.member = None;
        let (arrival, since) = (request.arrival, request.since);
        if let Some(listener) = cx.listeners.get_mut(listener) {
            let now = cx.io.now;
            listener.balancer.taken_back(now, member, arrival, since);
        }
        return;
    }
    // The predecessor had put it there.
    let way = Way {
        peer: peer_of(&end),
        listener: cx.listeners.get(listener).map_or(Address::NONE, |it| {
            Address::new(&it.sockaddr).unwrap_or(Address::NONE)
        }),
        ..NOWHERE
    };
    let caller = Caller::unknown(cx.outcomes.next_id());
    cx.adopted.add(New {
        listener,
        end,
        way,
        number: None,
        caller,
        wants: None,
    });
}

/// The client that a worker sees at the other side of this end.
pub(crate) fn peer_of(end: &OwnedFd) -> Address {
    let name = sys::peer_address(end.as_fd()).ok();
    let peer = name.and_then(|name| wire::pair_address(name.as_bytes()));
    peer.map_or(Address::NONE, |(_, peer)| peer)
}

/// One has waited too long: its client hears of it from the other proxy.
pub(crate) fn give_up(ticket: Ticket, cx: &mut Context) {
    cx.adopted.remove(ticket);
}

/// The other proxy has no use for this one any more.
pub(crate) fn end(number: u64, cx: &mut Context) {
    if let Some(successor) = cx.heir.successor() {
        return successor.pass_on(&Moved::Over(number), None, cx.io.now);
    }
    if let Some(ticket) = cx.adopted.by_number.get(&number).copied() {
        over(ticket, cx);
    }
    cx.adopted.new.retain(|new| new.number != Some(number));
}

/// The other proxy has ended.
pub(crate) fn end_all(cx: &mut Context) {
    cx.adopted.new.retain(|new| new.number.is_none());
    let all: Vec<Ticket> = cx.adopted.by_number.values().copied().collect();
    for ticket in all {
        over(ticket, cx);
    }
}

fn over(ticket: Ticket, cx: &mut Context) {
    let Some(request) = cx.adopted.remove(ticket) else {
        return;
    };
    let Some(listener) = cx.listeners.get_mut(request.listener) else {
        return;
    };
    match request.member {
        Some(member) => listener.balancer.left(cx.io.now, member, ticket),
        None => listener.balancer.cancel(ticket),
    }
    if listener.balancer.has_more() {
        cx.ready.place_at(request.listener);
    }
}
