//! Telling which requests have failed: a few of them one by one, and of the rest how many they were.

use balance::Nanos;
use proxy::Report;

use crate::ids::ListenerId;
use crate::listeners::Listeners;
use crate::members::Members;
use crate::notices::Notices;
use telemetry::events::Event;

/// How many failures are reported one by one in a second.
const TOLD: u32 = 10;
const SECOND: Nanos = 1_000_000_000;

/// How much was told lately.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    since: Nanos,
    told: u32,
    /// Failures that were not told yet.
    unsaid: u64,
}

impl FailureLog {
    /// When [`Self::tell_rest`] is due.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        (self.unsaid > 0).then_some(self.since + SECOND)
    }

    /// As many more have failed, and are not told one by one.
    pub(super) fn add(&mut self, more: u64) {
        self.unsaid += more;
    }

    /// Tells a failure, unless many were told just now.
    pub(super) fn tell(
        &mut self,
        report: Report,
        now: Nanos,
        listeners: &Listeners,
        members: &Members,
        notices: &Notices,
    ) {
        if now.saturating_sub(self.since) >= SECOND {
            self.since = now;
            self.told = 0;
        }
        let listener = listeners.all.get(&ListenerId(report.listener));
        let is_told = self.told < TOLD && notices.has_room();
        let Some(listener) = listener.filter(|_| is_told) else {
            self.unsaid += 1;
            return;
        };
        let worker = report.member.and_then(|member| members.all.get(&member));
        let unsaid = self.unsaid;
        let heard = notices.is_heard(Event::RequestFailed {
            address: listener.address.to_string(),
            id: format!("{:016x}", report.id),
            instance: worker.map(|member| member.place.instance),
            status: report.refusal.status(),
            reason: report.detail.unwrap_or(report.refusal.reason()).to_owned(),
            cut: report.cut,
            unsaid,
        });
        if heard {
            self.told += 1;
            self.unsaid = 0;
        } else {
            self.unsaid += 1;
        }
    }

    /// Tells how many others have failed, when it is time.
    pub(super) fn tell_rest(&mut self, now: Nanos, notices: &Notices) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.since = now;
            self.told = 0;
            let count = self.unsaid;
            if notices.is_heard(Event::RequestsFailed { count }) {
                self.unsaid = 0;
            }
        }
    }
}
