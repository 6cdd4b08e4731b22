//! `maitred sendSignal`: a signal for the processes of apps.

use anyhow::bail;
use clap::Args;
use rustix::process::Signal;

use super::{Manner, together};
use crate::apps::Action;
use crate::home::Home;

/// Send a signal to the processes of apps.
#[derive(Debug, Args)]
pub(super) struct SendSignal {
    /// The signal: SIGUSR2, USR2 or 12.
    signal: String,

    /// Names, numbers, namespaces, /regex/, or "all".
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
}

/// The signals by name.
const NAMES: [(&str, Signal); 20] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("URG", Signal::URG),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
];

impl SendSignal {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let Some(signal) = parse(&self.signal) else {
            bail!("there is no signal \"{}\"", self.signal.escape_debug());
        };
        let home = Home::find()?;
        let selected = together::selected(&home, &self.targets)?;
        let action = Action::Signal(signal.as_raw());
        let done = format!("{} sent", self.signal.to_uppercase());
        together::act(&home, &selected, &action, &done, manner)
    }
}

fn parse(text: &str) -> Option<Signal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = NAMES.iter().find(|(known, _)| *known == name);
    let numbered = || Signal::from_named_raw(text.parse().ok()?);
    named.map(|(_, signal)| *signal).or_else(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for text in ["SIGUSR2", "usr2", "12"] {
            assert_eq!(parse(text), Some(Signal::USR2), "{text}");
        }
        assert_eq!(parse("SIGNONE"), None);
        assert_eq!(parse("0"), None);
    }
}
