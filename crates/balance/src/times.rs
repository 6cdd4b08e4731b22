//! Times that both connections and requests go by.

use crate::Nanos;

/// One millisecond.
pub(crate) const MILLISECOND: Nanos = 1_000_000;

/// The longest that Linux lets one thread compute before another one has its turn on that processor,
/// unless it is told otherwise: a slice of 0.7 ms, and four times that from eight processors on
/// (EEVDF; `kernel/sched/fair.c`). Whoever waits for a processor beside `n` others waits for `n` of them.
pub(crate) const SLICE: Nanos = 2_800_000;

/// After this time, what lies untaken is looked at. A free worker on a machine that is not overloaded has taken it,
/// and answered, within a fifth of that; and looking at a worker so often, a microsecond each time, costs a
/// thousandth of a processor.
pub(crate) const OVERDUE: Nanos = MILLISECOND;

/// Whether a member has read what it was given is asked again after the time that has passed since it
/// took that, and at the earliest after this: the three microseconds of a question are a twentieth of
/// it.
pub(crate) const READING: Nanos = MILLISECOND / 16;

/// A member that takes so many in a millisecond streams.
pub(crate) const STREAM: u32 = 4;

/// So one that streams comes to its channel at least once in this time, in the mean. The way from the dispatcher
/// to a worker and back takes 0.1 ms, on a loaded machine 0.7 ms: given each one only after the one before, it
/// would idle for as long as it works.
pub(crate) const TURN: Nanos = MILLISECOND / STREAM as Nanos;
