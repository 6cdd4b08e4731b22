//! Room in the queue that is kept for what draining members give back.

use balance::{IdMap, MemberId};

use crate::ids::ListenerId;

/// How many connections each member that drains may still give back.
#[derive(Debug, Default)]
pub(super) struct Promised(IdMap<MemberId, (ListenerId, usize)>);

impl Promised {
    /// The member is asked for `count` connections.
    pub(super) fn note(&mut self, member: MemberId, listener: ListenerId, count: usize) {
        self.0.insert(member, (listener, count));
    }

    /// The member has given one back. Returns whether this was the last one that it was asked for.
    pub(super) fn count_down(&mut self, member: MemberId) -> bool {
        let left = self.0.get_mut(&member).map(|(_, left)| left);
        left.is_some_and(|left| {
            let was_last = *left == 1;
            *left = left.saturating_sub(1);
            was_last
        })
    }

    /// The member gives nothing more back.
    pub(super) fn forget(&mut self, member: MemberId) {
        self.0.remove(&member);
    }

    /// How many connections may come back to a listener.
    pub(super) fn of(&self, listener: ListenerId) -> usize {
        let all = self.0.values().filter(|(of, _)| *of == listener);
        all.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_is_kept_until_it_has_come_or_is_not_awaited() {
        let (here, there) = (ListenerId(1), ListenerId(2));
        let mut promised = Promised::default();
        assert!(!promised.count_down(MemberId(1)));
        promised.note(MemberId(1), here, 2);
        promised.note(MemberId(2), here, 3);
        promised.note(MemberId(3), there, 0);
        assert_eq!((promised.of(here), promised.of(there)), (5, 0));
        assert!(!promised.count_down(MemberId(1)) && promised.count_down(MemberId(1)));
        assert!(!promised.count_down(MemberId(1)) && !promised.count_down(MemberId(3)));
        assert_eq!(promised.of(here), 3);
        promised.forget(MemberId(2));
        assert_eq!(promised.of(here), 0);
    }
}
