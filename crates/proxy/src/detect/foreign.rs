//! A listener where something else than HTTP is spoken, found out.

use telemetry::figures::Foreign;

use super::Spoken;
use crate::context::Context;

/// Something else than HTTP is spoken at a listener, as far as is known.
pub(crate) fn note(listener: u64, what: Foreign, cx: &mut Context) {
    if let Some(at) = cx.listeners.get_mut(listener)
        && !matches!(at.spoken, Spoken::Http | Spoken::Foreign(_))
    {
        at.spoken = Spoken::Foreign(what);
        cx.outcomes.foreign.push((listener, what));
        if what == Foreign::WorkerFirst {
            // Others wait for a worker to speak, too.
            cx.ready.wake_all_at(listener);
        }
    }
}
