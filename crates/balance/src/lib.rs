//! Who is served next: of [`connections`], each of which goes to a worker to its end, or of
//! [`requests`], where a proxy forwards each by itself.
//!
//! A [`ConnectionBalancer`] or a [`RequestBalancer`] holds the members behind one listener and what
//! waits for them. Neither does I/O or reads a clock: events come in with the time at which they
//! happened. What is seen and done of the members goes through the [`Channels`] or [`Loops`] that
//! come along. So a day of arrivals, crashes and blocked workers can be simulated in a moment, from a
//! seed.
//!
//! Both are used in the same words:
//!
//! | word | what happens |
//! |---|---|
//! | `join`, `leave` | a worker begins to listen, or listens no more |
//! | `arrive` | a connection or request has arrived |
//! | `turned` | a worker's loop has turned: it has taken something |
//! | `ended` | a connection or request of a worker is over |
//! | `deadline` | when time brings something |
//! | `waiting`, `waits`, `members` | what was counted |

#![forbid(unsafe_code)]

mod client;
mod connections;
mod ids;
mod passed_over;
mod requests;
mod runs;
mod times;
mod turns;
mod waits;

pub use client::Client;
pub use connections::{
    Channels, ConnectionBalancer, ConnectionFigures, ConnectionPolicy, ConnectionSettings, Last,
    Refusal, Untaken,
};
pub use ids::{IdMap, MemberId};
pub use requests::{
    Arrival, Loops, Next, Placed, RequestBalancer, RequestFigures, RequestPolicy, RequestSettings,
    Ticket,
};
pub use waits::Waits;

/// A moment, in nanoseconds from any fixed start. Only differences count.
pub type Nanos = u64;

/// What a look at a member's loop shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It waits for work.
    Waiting,
    /// It computes, or is about to.
    Running,
    /// It waits for something else: a sleep, a lock, a loop of another kind.
    Away,
    /// There is no way to tell.
    Unknown,
}
