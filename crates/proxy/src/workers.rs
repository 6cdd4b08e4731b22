//! The workers, as the proxy sees them.

use std::os::fd::OwnedFd;

use balance::{Look, MemberId};

/// What the proxy can see and do of the workers.
pub trait Workers {
    /// Looks at the worker's loop.
    fn look(&mut self, member: MemberId) -> Look;
    /// How many processes accept from its channel.
    fn acceptors(&mut self, _: MemberId) -> usize {
        1
    }
    /// Puts a probe into its channel; `false` if it cannot have one.
    fn probe(&mut self, member: MemberId) -> bool;
    /// Whether `Proxy::turned` is called when it takes something.
    fn watch(&mut self, member: MemberId, on: bool);
    /// Sends a connection down its channel; `peer` is the `sockaddr` of its client.
    ///
    /// # Errors
    /// Gives the connection back if the channel takes no more.
    fn hand(&mut self, member: MemberId, end: OwnedFd, peer: &[u8]) -> Result<(), OwnedFd>;
    /// How many connections lie in its channel.
    fn untaken(&mut self, member: MemberId) -> usize;
    /// Whether it has no descriptor left to take one.
    fn is_full(&mut self, member: MemberId) -> bool;
    /// Takes the oldest of them back.
    fn take_back(&mut self, member: MemberId) -> Option<OwnedFd>;
}
