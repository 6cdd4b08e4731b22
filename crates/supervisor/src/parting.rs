//! What a supervisor still does when another one has taken its place: its proxy serves the clients that
//! could not move to the next one. Meanwhile it is the parent of workers, and tells of those that end.

use dispatcher::Notice;
use rustix::process::{Signal, getppid};
use sys::Signalled;
use tokio::sync::mpsc;

use super::Supervisor;
use super::followers::Followers;
use super::update::Way;

/// The next supervisor is told by this that this one touches nothing of what both have.
const DONE: &[u8] = b"done";

impl Supervisor {
    /// Leaves everything to the next supervisor, and ends when no client is left, or `drain_timeout` has passed.
    pub(super) async fn part(&mut self, way: Way, signals: &mut mpsc::Receiver<Signalled>) -> ! {
        let Way {
            next,
            clients,
            paused,
        } = way;
        let (Some(dispatcher), Some(clients)) = (&self.dispatch.dispatcher, clients) else {
            let _ = rustix::io::write(&next, DONE);
            // The dispatcher still does nothing: it would take back what the next one sends.
            sys::exit_now(0);
        };
        dispatcher.hand_over(paused, clients, self.app.drain_timeout);
        // If it is gone, its guard starts another one.
        let _ = rustix::io::write(&next, DONE);
        let guard = getppid();
        self.operations.all.clear();
        self.reports.followers = Followers::default();
        for process in self.instances.processes() {
            // The next supervisor has them, and may close them.
            process.stdin = None;
            process.channel = None;
        }
        self.takeover.tell_of_ended();
        loop {
            tokio::select! {
                Some(signal) = signals.recv() => match signal.signal {
                    Signal::CHILD => self.takeover.tell_of_ended(),
                    Signal::TERM | Signal::INT | Signal::QUIT | Signal::HUP => break,
                    _ => {}
                },
                Some(notice) = self.dispatch.notices.recv() => match notice {
                    Notice::HandedOver => break,
                    Notice::Event(event) => self.reports.output.event(&event),
                    // What the workers do is the next supervisor's.
                    Notice::Loaded { .. }
                    | Notice::Listening { .. }
                    | Notice::ListensNatively { .. }
                    | Notice::Left { .. }
                    | Notice::InUse { .. }
                    | Notice::Foreign { .. }
                    | Notice::Drained { .. }
                    | Notice::Blocked { .. }
                    | Notice::Unblocked { .. }
                    | Notice::Starving(_) => {}
                },
                event = self.reports.output.notice() => self.reports.output.event(&event),
            }
            if getppid() != guard {
                break;
            }
        }
        self.reports.output.finish_requests();
        sys::exit_now(0);
    }
}
