//! Every event in words, for those who follow all of them.

use config::signal_name;
use telemetry::events::Event;

use super::{Sentences, as_url, seconds};

impl Sentences {
    /// What is said of an event to one who wants to hear of all: its sentence, and for what a log does
    /// not tell, a plain one. It may have several lines; `None` for what was said before.
    pub fn in_words(&mut self, event: &Event) -> Option<String> {
        self.text(event).or_else(|| self.plain(event))
    }

    fn plain(&self, event: &Event) -> Option<String> {
        let name = &self.name;
        Some(match event {
            Event::Started { instance, pid } => format!("{name}-{instance} started (PID {pid})"),
            Event::Listening {
                instance, address, ..
            } => format!("{name}-{instance} listens on {}", as_url(address)),
            Event::Left {
                instance, address, ..
            } => format!("{name}-{instance} no longer listens on {}", as_url(address)),
            Event::Exited {
                instance,
                code,
                signal,
                ..
            } => match (code, signal) {
                (_, Some(signal)) => {
                    format!("{name}-{instance} stopped on {}", signal_name(*signal))
                }
                (code, None) => {
                    let code = code.unwrap_or(0);
                    format!("{name}-{instance} stopped with exit code {code}")
                }
            },
            Event::Blocked {
                instance, lasts, ..
            } => {
                let time = seconds(*lasts);
                format!("{name}-{instance} is blocked: its event loop has stood still for {time}")
            }
            Event::Unblocked {
                instance, lasted, ..
            } => format!(
                "{name}-{instance} goes on: it was blocked for {}",
                seconds(*lasted)
            ),
            Event::Stopped { .. } => format!("{name} has stopped"),
            _ => return None,
        })
    }
}
