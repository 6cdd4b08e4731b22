//! What the user of a supervisor wants to hear of it from time to time, or once.

use std::time::Duration;

use super::Supervisor;
use home::control::Answer;
use telemetry::events::Event;

impl Supervisor {
    /// Shows what was counted, so often and at the end.
    pub fn with_stats(mut self, every: Option<Duration>) -> Self {
        self.clock.set_stats(every);
        self
    }

    /// Calls `beat` at this interval while the supervisor's loop turns.
    #[must_use]
    pub fn with_heartbeat(mut self, every: Option<Duration>, beat: fn()) -> Self {
        self.clock.set_heartbeat(every, beat);
        self
    }

    /// Answers when all is up that is started at the beginning, or is known not to be.
    pub fn with_answer(mut self, answer: Option<Answer>) -> Self {
        self.operations.awaits_start = answer;
        self
    }

    pub(super) async fn show_figures(&mut self) {
        self.dispatch.count().await;
        let listeners = self.dispatch.figures.clone();
        self.reports.output.event(&Event::Figures { listeners });
    }

    /// Shows what was counted, if it is time.
    pub(super) async fn show_figures_in_time(&mut self) {
        if self.clock.stats_are_due() {
            self.show_figures().await;
        }
    }
}
