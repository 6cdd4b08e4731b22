//! Times that both connections and requests go by.

use crate::Nanos;

/// One millisecond.
pub(crate) const MILLISECOND: Nanos = 1_000_000;

/// After this time, what lies untaken is looked at.
pub(crate) const OVERDUE: Nanos = MILLISECOND;

/// Whether a member has read what it was given is asked again after the time that has passed since it
/// took that, and at the earliest after this: the three microseconds of a question are a twentieth of
/// it.
pub(crate) const READING: Nanos = MILLISECOND / 16;

/// A member that streams comes to its channel at least once in this time, in the mean.
pub(crate) const TURN: Nanos = MILLISECOND / 4;
