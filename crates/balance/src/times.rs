//! Times that both connections and requests go by.

use crate::Nanos;

/// One millisecond.
pub(crate) const MILLISECOND: Nanos = 1_000_000;

/// The longest that Linux lets one thread compute before another one has its turn on that processor,
/// unless configured otherwise: 0.7 ms, times `1 + log2` of the processors, of which eight count at the most (EEVDF,
/// `sysctl_sched_base_slice` in `kernel/sched/fair.c`). A thread beside `n` busy ones waits for `n` slices.
pub(crate) const SLICE: Nanos = 2_800_000;

/// After this time, what lies untaken is looked at. On a machine that is not overloaded a connection is taken and
/// answered within 0.15 ms, as measured; and to look at a worker once in this time, a microsecond each,
/// costs a thousandth of a processor.
pub(crate) const OVERDUE: Nanos = MILLISECOND;

/// Whether a member has read what it was given is asked again after the time that has passed since it
/// took that, and at the earliest after this: the three microseconds of a question are a twentieth of
/// it.
pub(crate) const READING: Nanos = MILLISECOND / 16;

/// A member that takes this many connections in a millisecond streams.
pub(crate) const STREAM: u32 = 4;

/// A member that streams comes to its channel at least once in this time, on average. The way from the dispatcher
/// to a worker and back takes 0.1 ms, on a loaded machine 0.6 ms: a member that got each connection only after the
/// one before would idle for about as long as it works.
pub(crate) const TURN: Nanos = MILLISECOND / STREAM as Nanos;
