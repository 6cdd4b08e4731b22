//! Which workers' loops stand still: the regular look that sees a hang, also where nothing is sent.
//!
//! A look (`loop_probe`) alone does not tell a hang from much work: a loop at work is running each time,
//! too. So a worker that does not wait gets a probe into its channel, if nothing lies there, and is looked
//! at more often. Its loop stands still as long as it takes nothing, and each look finds it at work or
//! asleep somewhere else. It is *blocked* when that has lasted for a second. It is not
//!
//! - while it waits in its loop, whatever it leaves lying: it may not want more connections,
//! - where the kernel does not tell: other users' processes, several threads that accept, a process that
//!   was stopped,
//! - as long as it gets no processor: it has computed for less than half of the second,
//! - where its `accept` blocks, so that it can get no probe, and no client waits.

use std::time::Duration;

use balance::{IdMap, Look, MemberId, Nanos};

use super::channel::Channel;
use super::members::{Member, Members};
use super::notice::Notice;
use super::notices::Notices;
use super::placement::Placement;
use super::workers::Workers;

/// How often all are looked at. With [`AFTER`] it is less than two seconds.
const LOOK: Nanos = 750_000_000;

/// How often, while one of them does not wait.
const CLOSE_LOOK: Nanos = 200_000_000;

/// A loop that has stood still for this time is blocked.
const AFTER: Nanos = 1_000_000_000;

/// One that runs has computed for this time by then, or it waits for a processor.
const COMPUTED: Nanos = AFTER / 2;

/// What a look at a worker has found.
#[derive(Clone, Copy, Debug)]
struct Seen {
    look: Look,
    /// Something lies in its channel, or would if its loop turned.
    has_something: bool,
    /// How much it has taken until now.
    taken: u64,
    /// How long it has computed until now, if the kernel tells.
    computed: Option<Nanos>,
}

/// A loop that has not turned since a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standstill {
    seen_at: Nanos,
    /// How long it has lasted, as far as there were looks: what holds up this thread, too, is no hang
    /// of the worker's.
    lasts: Nanos,
    taken: u64,
    computed: Option<Nanos>,
    is_blocked: bool,
    /// The supervisor has heard that it is.
    is_told: bool,
}

impl Standstill {
    fn begin(now: Nanos, seen: Seen) -> Self {
        Self {
            seen_at: now,
            lasts: 0,
            taken: seen.taken,
            computed: seen.computed,
            is_blocked: false,
            is_told: false,
        }
    }

    /// What another look makes of it; `None` if the loop has turned, or may have.
    fn after(self, now: Nanos, seen: Seen) -> Option<Self> {
        let stands = matches!(seen.look, Look::Running | Look::Away)
            && seen.has_something
            && seen.taken == self.taken;
        if !stands {
            return None;
        }
        let step = now.saturating_sub(self.seen_at).min(2 * CLOSE_LOOK);
        let lasts = self.lasts + step;
        let computed = seen.computed.zip(self.computed);
        let computed = computed.map_or(0, |(now, before)| now.saturating_sub(before));
        let has_cause = seen.look == Look::Away || computed >= COMPUTED;
        Some(Self {
            seen_at: now,
            lasts,
            is_blocked: self.is_blocked || lasts >= AFTER && has_cause,
            ..self
        })
    }
}

/// All loops that stand still.
#[derive(Debug, Default)]
pub(super) struct Standstills {
    all: IdMap<MemberId, Standstill>,
    look_at: Nanos,
    has_members: bool,
}

impl Standstills {
    /// When [`Self::look`] is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.has_members.then_some(self.look_at)
    }

    /// Looks at all workers when it is time.
    pub(super) fn look(
        &mut self,
        now: Nanos,
        members: &Members,
        workers: &mut Workers,
        placement: &Placement,
        notices: &Notices,
    ) {
        self.has_members = !members.all.is_empty();
        if now < self.look_at {
            return;
        }
        self.all.retain(|id, standstill| {
            let is_there = members.all.get(id).is_some_and(|member| member.joined);
            is_there || !ends(*id, *standstill, false, notices)
        });
        for (id, member) in &members.all {
            let Some(channel) = workers.channels.get_mut(id).filter(|_| member.joined) else {
                continue;
            };
            let before = self.all.get(id).copied();
            let after = look_at(now, before, channel, || {
                placement.waiting(member.listener) > 0
            });
            channel.is_watched = after.is_some();
            match (before, after) {
                (_, Some(mut after)) => {
                    if after.is_blocked && !after.is_told {
                        after.is_told = notices.is_heard(blocked(*id, member, after));
                    }
                    self.all.insert(*id, after);
                }
                (Some(before), None) if ends(*id, before, true, notices) => {
                    self.all.remove(id);
                }
                (_, None) => {}
            }
        }
        self.look_at = now
            + if self.all.is_empty() {
                LOOK
            } else {
                CLOSE_LOOK
            };
    }
}

/// Looks at one worker; `others_wait` tells whether clients wait for a worker like it.
fn look_at(
    now: Nanos,
    before: Option<Standstill>,
    channel: &mut Channel,
    others_wait: impl FnOnce() -> bool,
) -> Option<Standstill> {
    let look = channel.look_closely();
    if !matches!(look, Look::Running | Look::Away) {
        return None;
    }
    // What has been taken is counted before a probe may lie there: the worker may take that at once.
    // Where it can have no probe, it would be given one of those that wait as soon as it is seen to.
    let lies = channel.untaken() > 0 || !channel.takes_probes() && others_wait();
    let seen = Seen {
        look,
        has_something: lies,
        taken: channel.taken()?,
        computed: channel.loop_probe.computed(),
    };
    if let Some(after) = before.and_then(|before| before.after(now, seen)) {
        return Some(after);
    }
    // A reported standstill has ended: that is reported before a new one begins.
    if before.is_some_and(|before| before.is_told) || !lies && !channel.probe() {
        return None;
    }
    Some(Standstill::begin(now, seen))
}

fn blocked(id: MemberId, member: &Member, standstill: Standstill) -> Notice {
    Notice::Blocked {
        member: id,
        pid: member.pid().unwrap_or(0),
        instance: member.place.instance,
        lasts: Duration::from_nanos(standstill.lasts),
    }
}

/// A loop does not stand still any more. Returns whether the supervisor knows, if it has to.
fn ends(member: MemberId, standstill: Standstill, turned: bool, notices: &Notices) -> bool {
    !standstill.is_told || notices.is_heard(Notice::Unblocked { member, turned })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN: Nanos = CLOSE_LOOK;

    fn seen(look: Look, taken: u64, computed: u64) -> Seen {
        Seen {
            look,
            has_something: true,
            taken,
            computed: Some(computed),
        }
    }

    /// After how many looks a loop is blocked, and how long it has stood still by then.
    fn blocked_after(pause: Nanos, look: impl Fn(u64) -> Seen) -> Option<(u64, Nanos)> {
        let mut standstill = Standstill::begin(0, look(0));
        for nth in 1..100 {
            standstill = standstill.after(nth * pause, look(nth))?;
            if standstill.is_blocked {
                return Some((nth, standstill.lasts));
            }
        }
        None
    }

    #[test]
    fn a_loop_that_takes_nothing_for_a_second_is_blocked() {
        let away = |_| seen(Look::Away, 7, 0);
        let computes = |nth| seen(Look::Running, 7, nth * TURN);
        let computes_a_little = |nth| seen(Look::Running, 7, nth * TURN / 4);
        assert_eq!(blocked_after(TURN, away), Some((5, AFTER)));
        assert_eq!(blocked_after(TURN, computes), Some((5, AFTER)));
        assert_eq!(
            blocked_after(TURN, computes_a_little),
            Some((10, 2 * AFTER))
        );
        // Where this thread was held up, too, it does not count.
        assert_eq!(blocked_after(20 * TURN, away), Some((3, 6 * TURN)));
    }

    #[test]
    fn a_loop_that_turns_or_may_have_turned_is_not() {
        let at_fourth = |then: Seen| {
            blocked_after(TURN, move |nth| match nth {
                4 => then,
                _ => seen(Look::Away, 7, 0),
            })
        };
        let usual = seen(Look::Away, 7, 0);
        assert!(at_fourth(usual).is_some());
        let nothing = Seen {
            has_something: false,
            ..usual
        };
        for then in [
            seen(Look::Away, 8, 0),
            seen(Look::Waiting, 7, 0),
            seen(Look::Unknown, 7, 0),
            nothing,
        ] {
            assert_eq!(at_fourth(then), None, "{then:?}");
        }
        // It waits for a processor.
        assert_eq!(blocked_after(TURN, |_| seen(Look::Running, 7, 0)), None);
        let untold = |_| Seen {
            computed: None,
            ..seen(Look::Running, 7, 0)
        };
        assert_eq!(blocked_after(TURN, untold), None);
    }
}
