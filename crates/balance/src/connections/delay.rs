//! Why a member has not taken what it was sent, as far as the kernel tells.

use super::Channels;
use super::member::{Basis, Member};
use crate::times::{MILLISECOND, SLICE};
use crate::{Look, Nanos};

/// A loop that was woken comes to its channel within this much processor time: ten times what Bun,
/// Node, Deno and Python were measured to need for it.
const COMPUTING: Nanos = MILLISECOND;

/// A member that computed for so long without a look at its channel is blocked, whether or not
/// another one is free: it has had a processor for a whole slice, and used it for something else.
const BLOCKED: Nanos = SLICE;

/// A member that waits in its loop and does not take what it was sent is stopped, or listens no
/// more: a message wakes every other one at once. Where another thread wakes the loop, as in Deno, that
/// thread may wait for a processor first: this long beside three busy threads for each processor.
const STOPPED: Nanos = 3 * SLICE;

/// A member that was free when it was sent something has only come across something else, such as
/// a pause of its garbage collector, whose helpers wait for processors too: this long beside nine busy
/// threads for each processor. A blocking piece of work can begin in the same moment, but seldom does.
const GRACE: Nanos = 9 * SLICE;

/// A member of which nothing shows that it is blocked may wait for a processor: five times as long as
/// beside 70 busy threads for each processor.
const STARVED: Nanos = 5 * 70 * SLICE;

/// Why a member has not taken what it was sent a millisecond ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delay {
    /// It is blocked, and will be for an unknown time.
    Blocked,
    /// It does something else, and may be back soon.
    Busy,
    /// It waits for a processor, or may do so. One that wants the same processors would not be faster, and may
    /// have had its share of what came together.
    Starved,
    /// Nothing tells which of these it is.
    Unknown,
}

impl Member {
    /// Why an overdue member has not taken what it was sent, as far as the kernel tells.
    pub(crate) fn delay<C: Channels>(&mut self, now: Nanos, channels: &mut C) -> Delay {
        let untaken_for = self.untaken_for(now);
        let was_free = self.sent.iter().all(|sent| sent.basis == Basis::Free);
        let has_grace = was_free && untaken_for < GRACE;
        match channels.look(self.id) {
            Look::Away | Look::Running if has_grace => Delay::Starved,
            Look::Away => Delay::Blocked,
            Look::Running => match channels.computed(self.id) {
                Some(computed) => {
                    let before = *self.computed_before.get_or_insert(computed);
                    self.computes(untaken_for, computed.saturating_sub(before))
                }
                None if untaken_for >= STARVED => Delay::Blocked,
                None => Delay::Unknown,
            },
            Look::Waiting if untaken_for >= STOPPED => Delay::Blocked,
            Look::Waiting => Delay::Busy,
            Look::Unknown if untaken_for >= STARVED => Delay::Blocked,
            Look::Unknown => Delay::Unknown,
        }
    }

    /// Judges a member by how long it has computed while it still wants its processor.
    fn computes(&self, untaken_for: Nanos, computed: Nanos) -> Delay {
        if computed >= BLOCKED && computed >= untaken_for / 4 * 3 {
            Delay::Blocked
        } else if computed >= COMPUTING || untaken_for >= STARVED {
            Delay::Busy
        } else {
            Delay::Starved
        }
    }
}
