//! When an app is restarted by the calendar.

use anyhow::bail;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::Kind;
use triggers::schedule::Schedule;

/// A schedule, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// Five fields (minute to weekday), or six with seconds before them.
    pub pattern: String,
    /// The time zone by its IANA name; empty for the machine's own.
    pub zone: String,
}

/// What happens at its time while the last run of a job goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The time passes.
    #[default]
    Skip,
    /// The next run follows when the last one has ended.
    Wait,
    /// The last one is stopped.
    Replace,
}

impl Overlap {
    const ALL: [(&str, Self); 3] = [
        ("skip", Self::Skip),
        ("wait", Self::Wait),
        ("replace", Self::Replace),
    ];

    /// The word for it in a config.
    pub fn word(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, overlap)| *overlap == self);
        found.map_or("", |(word, _)| word)
    }
}

impl Kind for Overlap {
    const EXPECTS: &'static str = "\"skip\", \"wait\" or \"replace\"";

    fn schema() -> Value {
        json!({ "enum": Self::ALL.map(|(word, _)| word) })
    }

    fn read(value: &Value) -> Option<Self> {
        let found = Self::ALL.iter().find(|(word, _)| value == word);
        found.map(|(_, overlap)| *overlap)
    }
}

/// Bytes; a list of all minutes has 169.
const MOST: usize = 500;

impl Cron {
    /// Reads a pattern, before which `TZ=` or `CRON_TZ=` may name a time zone; else it is `zone`.
    ///
    /// # Errors
    /// If the pattern means nothing or never comes, or if the zone is not known.
    pub(crate) fn new(text: &str, zone: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        if text.len() > MOST || zone.len() > MOST {
            bail!("it is longer than any cron pattern");
        }
        let named = text
            .strip_prefix("CRON_TZ=")
            .or_else(|| text.strip_prefix("TZ="));
        let (zone, pattern) = match named.map(|rest| rest.split_once(char::is_whitespace)) {
            Some(Some((zone, pattern))) => (zone, pattern.trim()),
            Some(None) => bail!("after the time zone comes a cron pattern"),
            None => (zone, text),
        };
        let cron = Self {
            pattern: pattern.to_owned(),
            zone: zone.to_owned(),
        };
        if cron.schedule()?.after(Timestamp::now()).is_none() {
            bail!("{pattern:?} never comes");
        }
        Ok(cron)
    }

    /// The moments that it stands for.
    ///
    /// # Errors
    /// If the time zone is not known on this machine any more.
    pub fn schedule(&self) -> anyhow::Result<Schedule> {
        let zone = Some(self.zone.as_str()).filter(|zone| !zone.is_empty());
        Ok(Schedule::parse(&self.pattern, zone)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_may_stand_before_the_pattern() {
        let cron = Cron::new("CRON_TZ=Europe/Berlin 0 3 * * *", "UTC").unwrap();
        assert_eq!(cron.zone, "Europe/Berlin");
        assert_eq!(cron.pattern, "0 3 * * *");
        assert_eq!(Cron::new(" @daily ", "UTC").unwrap().zone, "UTC");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, zone, expected) in [
            ("nonsense", "", "no cron pattern"),
            ("* * *", "", "no cron pattern"),
            ("99 * * * *", "", "no cron pattern"),
            ("0 0 30 2 *", "", "never comes"),
            ("TZ=Mars/Base 0 0 * * *", "", "Mars/Base"),
            ("0 0 * * *", "Nowhere", "Nowhere"),
            ("TZ=UTC", "", "cron pattern"),
        ] {
            let error = Cron::new(text, zone).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
