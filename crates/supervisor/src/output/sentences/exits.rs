//! How a process has ended, or that it was never there, and what follows.

use config::signal_name;
use telemetry::events::Next;

use super::{MB, Sentences, seconds};
use telemetry::ids::Instance;

/// How a process has ended: its code, its signal, and the bound of memory that it was killed at.
pub(super) type End = (Option<i32>, Option<i32>, Option<u64>);

impl Sentences {
    pub(super) fn exited(
        &mut self,
        instance: Instance,
        end: End,
        uptime: u64,
        next: &Next,
    ) -> Option<String> {
        let expected = matches!(next, Next::Stopped) || (self.quiet && matches!(next, Next::Ended));
        if expected && end.2.is_none() {
            return None;
        }
        let who = format!("{}-{instance}", self.name);
        let what_next = what_next(next);
        if let Next::Retry { delay } = next {
            return Some(format!("{who}: trying again in {}", seconds(*delay)));
        }
        if self.not_started.remove(&instance) {
            let (_, what_next) = what_next.split_once("; ")?;
            return Some(format!("{who}: {what_next}"));
        }
        let how = match end {
            (_, Some(_), Some(bound)) => format!(
                "was OOM-killed at its cgroup limit of {} MB (max_memory_restart)",
                bound / MB
            ),
            (_, Some(signal), None) => format!("was killed by {}", signal_name(signal)),
            (code, None, _) => format!("exited with code {}", code.unwrap_or(0)),
        };
        Some(format!("{who} {how} after {}{what_next}", seconds(uptime)))
    }
}

fn what_next(next: &Next) -> String {
    match next {
        Next::Restart { delay: 0, .. } => "; restarting at once".to_owned(),
        Next::Restart {
            delay,
            attempt,
            max,
        } => format!(
            "; restarting in {} (attempt {attempt} of {max})",
            seconds(*delay)
        ),
        Next::Errored { attempts: 0 } => "; max_restarts is 0, so it is not restarted".to_owned(),
        Next::Errored { attempts } => format!(
            "; {} runs in a row ended within min_uptime, so it is not restarted",
            attempts + 1
        ),
        Next::Replaced => " while its replacement starts".to_owned(),
        Next::Kept => "; keeping the previous one".to_owned(),
        Next::Stopped | Next::Ended | Next::Retry { .. } => String::new(),
    }
}
