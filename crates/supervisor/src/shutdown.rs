//! How far the end of an app has come, and what becomes of its folder then.

use std::time::Duration;

use rustix::process::Signal;
use sys::Signalled;

use home::control::{Refusal, Request};

/// A terminal sends its signals to all of us, and the guard may pass one on that was sent to all:
/// only one that comes later than this is a second one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// The app is being ended.
#[derive(Debug)]
struct Ending {
    since: Duration,
    kill_at: Duration,
    /// What ended it, if it was a signal.
    signal: Option<Signalled>,
}

/// A signal ends the app at the end of its `drain_delay`; until then newcomers are served.
#[derive(Debug)]
struct Delay {
    since: Duration,
    until: Duration,
    signal: Signalled,
}

/// What becomes of the app's folder when the supervisor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It tells what has become of the instances.
    Kept,
    /// It tells that they are to run, and do not.
    AsIfCrashed,
    /// It goes.
    Removed,
}

/// Whether the end that a signal asks for is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PutOff {
    No,
    FromNowOn,
    /// It was before, and this is the same signal.
    Already,
}

/// The end of the app.
#[derive(Debug)]
pub(super) struct Shutdown {
    delay: Option<Delay>,
    ending: Option<Ending>,
    pub(super) afterwards: Afterwards,
}

impl Shutdown {
    /// Nothing calls for it yet.
    pub(super) fn new() -> Self {
        Self {
            delay: None,
            ending: None,
            afterwards: Afterwards::Kept,
        }
    }

    /// Whether the app is being ended.
    pub(super) fn has_begun(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether it is, or will be when its `drain_delay` is over.
    pub(super) fn is_ahead(&self) -> bool {
        self.has_begun() || self.delay.is_some()
    }

    /// Whether the app's folder goes with it.
    pub(super) fn removes(&self) -> bool {
        self.afterwards == Afterwards::Removed
    }

    /// The signal that ends the app, if it is one.
    pub(super) fn signal(&self) -> Option<Signalled> {
        self.ending.as_ref()?.signal
    }

    /// Puts off the end that a signal asks for. Balancers need time to hear of it; whoever types Ctrl-C does not
    /// want to wait.
    pub(super) fn put_off(&mut self, signal: Signalled, by: Duration, now: Duration) -> PutOff {
        if let Some(delay) = &self.delay {
            return match now - delay.since <= SAME_SIGNAL {
                true => PutOff::Already,
                false => PutOff::No,
            };
        }
        if signal.signal != Signal::TERM || by.is_zero() || self.has_begun() {
            return PutOff::No;
        }
        self.delay = Some(Delay {
            since: now,
            until: now + by,
            signal,
        });
        PutOff::FromNowOn
    }

    /// The end is not put off any more; the signal that has asked for it, if it was until now.
    pub(super) fn end_of_delay(&mut self, now: Duration) -> Option<Signalled> {
        let over = self.delay.take_if(|delay| delay.until <= now)?;
        Some(over.signal)
    }

    /// It begins, and takes this long at most.
    pub(super) fn begin(&mut self, signal: Option<Signalled>, time: Duration, now: Duration) {
        self.ending = Some(Ending {
            since: now,
            kill_at: now + time,
            signal,
        });
    }

    /// It is not put off.
    pub(super) fn end_delay(&mut self) {
        self.delay = None;
    }

    /// It was asked for again, and takes this long at most from now on. Not if it is the same signal.
    pub(super) fn hurry(&mut self, time: Duration, now: Duration) -> bool {
        let again = |ending: &&mut Ending| now - ending.since > SAME_SIGNAL;
        let Some(ending) = self.ending.as_mut().filter(again) else {
            return false;
        };
        ending.since = now;
        ending.kill_at = now + time;
        true
    }

    /// Whether its time is up.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let ending = self.ending.as_ref();
        ending.is_some_and(|ending| ending.kill_at <= now)
    }

    /// The next moment at which something of it is to be looked at.
    pub(super) fn next_check(&self) -> Option<Duration> {
        let kill_at = self.ending.as_ref().map(|ending| ending.kill_at);
        let delay = self.delay.as_ref().map(|delay| delay.until);
        kill_at.into_iter().chain(delay).min()
    }

    /// Why a request has to wait until this supervisor has ended, if it has to.
    pub(super) fn refuses(&self, request: &Request) -> Option<Refusal> {
        let joins = match request {
            Request::Status | Request::Metrics | Request::Events { .. } | Request::Kill => true,
            Request::Delete { .. } => !self.has_begun(),
            _ => false,
        };
        let how = match self.afterwards {
            _ if joins => return None,
            Afterwards::Removed => "deleted",
            _ if self.has_begun() => "ended",
            _ => return None,
        };
        Some(Refusal::leaving(format!("it is being {how}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn sent(signal: Signal) -> Signalled {
        Signalled {
            signal,
            by_kernel: false,
        }
    }

    /// The guard may pass on what was sent to all.
    #[test]
    fn a_signal_that_comes_twice_at_once_is_one() {
        let mut shutdown = Shutdown::new();
        let term = sent(Signal::TERM);
        assert_eq!(shutdown.put_off(term, ms(9000), ms(0)), PutOff::FromNowOn);
        assert_eq!(shutdown.put_off(term, ms(9000), ms(500)), PutOff::Already);
        assert_eq!(shutdown.put_off(term, ms(9000), ms(501)), PutOff::No);
        assert!(shutdown.is_ahead() && !shutdown.has_begun());
        shutdown.end_delay();
        shutdown.begin(Some(term), ms(9000), ms(501));
        assert!(!shutdown.hurry(ms(0), ms(1001)));
        assert!(!shutdown.is_over(ms(9500)) && shutdown.is_over(ms(9501)));
        assert!(shutdown.hurry(ms(100), ms(1002)));
        assert_eq!(shutdown.next_check(), Some(ms(1102)));
    }

    #[test]
    fn only_sigterm_is_put_off_and_only_once() {
        let mut shutdown = Shutdown::new();
        let no = PutOff::No;
        assert_eq!(shutdown.put_off(sent(Signal::INT), ms(9), ms(0)), no);
        assert_eq!(shutdown.put_off(sent(Signal::TERM), ms(0), ms(0)), no);
        shutdown.put_off(sent(Signal::TERM), ms(9), ms(0));
        assert_eq!(shutdown.next_check(), Some(ms(9)));
        assert!(shutdown.end_of_delay(ms(8)).is_none());
        assert!(shutdown.end_of_delay(ms(9)).is_some());
        assert!(shutdown.end_of_delay(ms(9)).is_none());
        shutdown.begin(None, ms(9), ms(9));
        assert_eq!(shutdown.put_off(sent(Signal::TERM), ms(9), ms(9)), no);
    }

    #[test]
    fn commands_wait_for_the_next_supervisor_when_the_app_ends() {
        let mut shutdown = Shutdown::new();
        let refused = |shutdown: &Shutdown, request: &Request| {
            let refusal = shutdown.refuses(request)?;
            serde_json::to_string(&refusal).ok()
        };
        let delete = Request::Delete { ids: None };
        assert_eq!(refused(&shutdown, &Request::ReopenLogs), None);
        shutdown.begin(None, ms(9), ms(0));
        for request in [&Request::ReopenLogs, &delete] {
            assert!(refused(&shutdown, request).unwrap().contains("being ended"));
        }
        shutdown.afterwards = Afterwards::Removed;
        assert!(
            refused(&shutdown, &delete)
                .unwrap()
                .contains("being deleted")
        );
        assert_eq!(refused(&shutdown, &Request::Status), None);
        assert_eq!(refused(&shutdown, &Request::Kill), None);
    }
}
