//! Signals by name, as users write them: SIGTERM, TERM or 15.

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

/// The signal with this name or number.
pub fn signal(text: &str) -> Option<Signal> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = NAMES.iter().find(|(known, _)| *known == name);
    let numbered = || Signal::from_named_raw(text.parse().ok()?);
    named.map(|(_, signal)| *signal).or_else(numbered)
}

/// The JSON Schema of a signal.
pub(crate) fn schema() -> Value {
    let names = NAMES.map(|(name, _)| name).join("|");
    json!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 64 },
        { "type": "string", "pattern": format!("^((SIG)?({names})|[0-9]+)$") },
    ] })
}

/// The name of the signal with this number: SIGTERM.
pub fn signal_name(raw: i32) -> String {
    let found = NAMES.iter().find(|(_, signal)| signal.as_raw() == raw);
    match found {
        Some((name, _)) => format!("SIG{name}"),
        None => format!("signal {raw}"),
    }
}

/// The signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KillSignal(pub Signal);

impl Default for KillSignal {
    fn default() -> Self {
        Self(Signal::INT)
    }
}

impl TryFrom<String> for KillSignal {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unknown = || format!("\"{}\" is not a signal", text.escape_debug());
        signal(&text).map(Self).ok_or_else(unknown)
    }
}

impl From<KillSignal> for String {
    fn from(KillSignal(signal): KillSignal) -> Self {
        match NAMES.iter().find(|(_, known)| *known == signal) {
            Some((name, _)) => format!("SIG{name}"),
            None => signal.as_raw().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for text in ["SIGUSR2", "usr2", "12"] {
            assert_eq!(signal(text), Some(Signal::USR2), "{text}");
        }
        for text in ["SIGNONE", "0", "-9", "", "SIG"] {
            assert_eq!(signal(text), None, "{text}");
        }
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(64), "signal 64");
    }

    #[test]
    fn every_signal_can_be_written_down() {
        for raw in 1..32 {
            let Some(signal) = Signal::from_named_raw(raw) else {
                continue;
            };
            let text = serde_json::to_string(&KillSignal(signal)).unwrap();
            let back: KillSignal = serde_json::from_str(&text).unwrap();
            assert_eq!(back, KillSignal(signal), "{text}");
        }
    }
}
