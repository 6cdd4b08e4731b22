//! Requests: which worker gets the next one, where a proxy forwards each by itself.
//!
//! Unlike a connection, a request is known to be over: its response has ended. So the figures of a
//! member are exact: how many requests it has in progress. For [`RequestPolicy::NextAvailable`] a
//! member with none is free; one with some is free when its loop waits and it has read all that it
//! was sent, for then those requests wait for something else. A member whose requests take less than a
//! quarter of a millisecond *streams*: it is sent more ahead, for to wait for each response would leave
//! it idle in between. What no member can have now waits in one queue, and the first of those that wait
//! are *staged*, as connections are: one, unread, behind the work of each member that is busy. A
//! worker that ends a piece of work finds it there; a member that is free gets the oldest that is
//! staged elsewhere, and what lies behind a longer piece of work than most changes places with what came later.

mod balancer;
mod choose;
mod member;
mod queue;
mod staging;
#[cfg(test)]
mod tests;

pub use balancer::RequestBalancer;
pub use member::RequestFigures;

use crate::{Client, Look, MemberId, Nanos};

/// How the next member is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestPolicy {
    /// The first that is free; when none is, the first that becomes free.
    #[default]
    NextAvailable,
    /// Strictly in turn, whatever they do.
    RoundRobin,
    /// The one with the fewest requests in progress; among equals in turn.
    LeastConn,
    /// A client goes to the same member as long as that member is there.
    IpHash,
    /// A request that names a member goes there, any other as with `NextAvailable`.
    Sticky,
}

impl RequestPolicy {
    /// Whether a request may want one member alone.
    fn is_affine(self) -> bool {
        matches!(self, Self::IpHash | Self::Sticky)
    }
}

/// What a request balancer is to do.
#[derive(Clone, Copy, Debug)]
pub struct RequestSettings {
    /// How to choose.
    pub policy: RequestPolicy,
    /// How many requests one member may have in progress.
    pub max_concurrency: usize,
    /// How many requests may wait in the queue; more are refused.
    pub queue: usize,
    /// How long one may wait there, in nanoseconds.
    pub queue_timeout: Nanos,
}

/// What can be seen and done of the members' loops.
pub trait Loops {
    /// Looks at the member's loop.
    fn look(&mut self, member: MemberId) -> Look;

    /// Whether the member has still to read of what it was sent last.
    fn unread(&mut self, member: MemberId) -> bool;

    /// Whether what is staged at the member still lies where it can be taken back.
    fn is_staged(&mut self, member: MemberId) -> bool;

    /// How many processes take what the member is sent, each by itself: then no look speaks for all.
    fn acceptors(&mut self, _: MemberId) -> usize {
        1
    }

    /// Puts a probe before the member, so that [`RequestBalancer::turned`] is called when its loop
    /// has turned; `false` if it cannot have one.
    fn probe(&mut self, member: MemberId) -> bool;

    /// Whether [`RequestBalancer::turned`] shall be called at all.
    fn watch(&mut self, member: MemberId, on: bool);
}

/// A request, named by whoever forwards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// A request that is to be placed.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its name.
    pub ticket: Ticket,
    /// Where it comes from.
    pub client: Client,
    /// The key of the member that it names.
    pub wants: Option<u64>,
    /// A member that has failed it already, and gets it again only if there is no other.
    pub failed: Option<MemberId>,
}

/// What becomes of a request that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It goes to this member now.
    At(MemberId),
    /// It waits.
    Waits,
    /// The queue is full.
    Refused,
}

/// The next step for requests that wait.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// The member gets the request.
    Give(Arrival, MemberId),
    /// The request is staged: the member gets it so that it can be taken back while it is unread.
    Stage(Arrival, MemberId),
    /// Take back what is staged at the member; [`RequestBalancer::came_back`] or, where
    /// the worker has just taken it, [`RequestBalancer::taken`] tells how that went.
    Recall(MemberId),
}
