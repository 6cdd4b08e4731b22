//! Connections: which worker gets the next one, to have it until its end.
//!
//! What is known of a member, and how:
//!
//! - What lies untaken in its channel is exact, and may be asked for at any time.
//! - Whether its loop waits for work is a hint ([`Look`]): true when looked, perhaps not later.
//! - That it takes something shows that its loop has turned. Where nothing else would, a *probe*
//!   is put into its channel: a message without a connection, which a worker that comes back to
//!   its loop consumes, and the kernel then wakes the dispatcher.
//!
//! - Whether the worker has read what the client of its last connection sent ([`Last`]) is exact. A
//!   worker that has not is about to begin a piece of work, though its loop may still wait.
//!
//! For [`ConnectionPolicy::NextAvailable`] these rules follow:
//!
//! 1. A connection goes to a member that waits for work and has read what it was sent before.
//! 2. Where loops are busy for microseconds only, asking first would cost throughput: a member that
//!    computes is sent one connection ahead, and one that takes them in a stream is not asked.
//! 3. When all are busy, one connection is *staged* unread in each channel, behind the youngest
//!    work first, and the rest waits in one queue, first come first served. So a worker that ends a
//!    piece of work finds the next one, and does not idle until the dispatcher has heard of it.
//! 4. A member that is free while nothing waits in the queue gets the oldest that is staged
//!    elsewhere: it is recalled.
//! 5. What is staged behind a longer piece of work than most changes places with what came later: it is staged behind
//!    the work of a member that has taken its own, and the first of the queue in its old place. So a worker with a long
//!    piece of work also finds the next one at its end.
//! 6. What is staged behind a loop that stands still for longer than loops usually do here goes
//!    back to the queue, before all that came later, and nothing is staged there any more.
//! 7. What was sent to a member that was free stays there, unless it is seen to be blocked. A member
//!    that only waits for a processor keeps it, so that what comes together stays at several.
//!
//! Staging is bounded by what lies unread, never by the requests that a worker has in progress.

mod balancer;
mod choose;
mod delay;
mod member;
mod memory;
mod pace;
mod queue;
mod staging;

pub use balancer::ConnectionBalancer;
pub use member::ConnectionFigures;

use std::num::NonZeroUsize;

use crate::{Look, MemberId, Nanos};

/// How the next member is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnectionPolicy {
    /// The first that is free; when none is, the first that becomes free.
    #[default]
    NextAvailable,
    /// Strictly in turn, whatever they do.
    RoundRobin,
    /// The one with the fewest open connections, whatever it does.
    LeastConn,
    /// A client goes to the same member as long as that member is there.
    IpHash,
}

/// What a balancer is to do.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionSettings {
    /// How to choose.
    pub policy: ConnectionPolicy,
    /// How many connections may wait in the queue before no more should be accepted.
    pub queue: usize,
    /// How long a connection may wait there, in nanoseconds, before it is refused.
    pub queue_timeout: Nanos,
    /// How many connections one member may have open; more wait in the queue.
    pub max_connections: Option<NonZeroUsize>,
}

/// What lies in a member's channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untaken {
    /// Connections.
    pub connections: usize,
    /// Whether a probe is among it.
    pub probe: bool,
}

/// What became of the connection that a member was sent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// The worker has read what its client sent, or has closed it.
    Read,
    /// What its client sent lies unread.
    Unread,
    /// Its client has sent nothing.
    Silent,
    /// There is no way to tell.
    Unknown,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It waited longer than [`ConnectionSettings::queue_timeout`].
    QueueTimeout,
}

/// What a balancer can see and do of the workers.
pub trait Channels {
    /// An accepted connection, owned.
    type Connection;

    /// Looks at the member's loop.
    fn look(&mut self, member: MemberId) -> Look;

    /// How long the member's thread has computed so far, in nanoseconds; `None` where there is no
    /// way to tell.
    fn computed(&mut self, member: MemberId) -> Option<Nanos>;

    /// What became of the connection that it was sent last.
    fn last(&mut self, member: MemberId) -> Last;

    /// What lies in its channel now.
    fn untaken(&mut self, member: MemberId) -> Untaken;

    /// Sends a connection down its channel.
    ///
    /// # Errors
    /// Gives the connection back if the channel takes no more at the moment.
    fn send(
        &mut self,
        member: MemberId,
        connection: Self::Connection,
    ) -> Result<(), Self::Connection>;

    /// Takes the oldest untaken connection back out of the channel, and any probe before it.
    fn take_back(&mut self, member: MemberId) -> Option<Self::Connection>;

    /// Puts a probe into the channel; `false` if this member cannot have one.
    fn probe(&mut self, member: MemberId) -> bool;

    /// From now on, or no longer, [`ConnectionBalancer::turned`] is called each time the member takes
    /// something.
    fn watch(&mut self, member: MemberId, on: bool);

    /// Ends a connection that no worker gets.
    fn refuse(&mut self, connection: Self::Connection, why: Refusal);
}
