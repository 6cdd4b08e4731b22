//! When an app is restarted by the calendar.

use std::time::SystemTime;

use anyhow::bail;
use chrono::{DateTime, Local, TimeZone, Utc};
use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};

/// A schedule, known to be valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cron {
    /// Five fields (minute to weekday), or six with seconds before them.
    pub(crate) pattern: String,
    /// The time zone by its IANA name; empty for the machine's own.
    pub(crate) zone: String,
}

impl Cron {
    /// Reads a pattern, before which `TZ=` or `CRON_TZ=` may name a time zone; else it is `zone`.
    ///
    /// # Errors
    /// If the pattern means nothing or never comes, or if the zone is not known.
    pub(crate) fn new(text: &str, zone: &str) -> anyhow::Result<Self> {
        let text = text.trim();
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
        if !zone.is_empty() && cron.zone().is_none() {
            bail!("there is no time zone {zone:?}; one is called as in \"Europe/Berlin\"");
        }
        if let Err(error) = parser().parse(pattern) {
            bail!("{pattern:?} is no cron pattern: {error}");
        }
        if cron.next_after(SystemTime::now()).is_none() {
            bail!("{pattern:?} never comes");
        }
        Ok(cron)
    }

    /// The first moment after this one at which it is time.
    pub(crate) fn next_after(&self, moment: SystemTime) -> Option<SystemTime> {
        let pattern = parser().parse(&self.pattern).ok()?;
        let moment = DateTime::<Utc>::from(moment);
        match self.zone() {
            Some(zone) => next(&pattern, moment, &zone),
            None => next(&pattern, moment, &Local),
        }
    }

    fn zone(&self) -> Option<chrono_tz::Tz> {
        self.zone.parse().ok()
    }
}

fn parser() -> CronParser {
    CronParser::builder().seconds(Seconds::Optional).build()
}

fn next<Z: TimeZone>(pattern: &croner::Cron, after: DateTime<Utc>, zone: &Z) -> Option<SystemTime> {
    let next = pattern.find_next_occurrence(&after.with_timezone(zone), false);
    Some(next.ok()?.with_timezone(&Utc).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_after(text: &str, moment: &str) -> String {
        let moment = moment.parse::<DateTime<Utc>>().unwrap();
        let next = Cron::new(text, "").unwrap().next_after(moment.into());
        DateTime::<Utc>::from(next.unwrap()).to_rfc3339()
    }

    #[test]
    fn zones_and_seconds() {
        for (text, moment, expected) in [
            (
                "TZ=UTC 0 3 * * *",
                "2026-01-01T03:00:00Z",
                "2026-01-02T03:00:00+00:00",
            ),
            (
                "TZ=UTC */10 * * * * *",
                "2026-01-01T00:00:05Z",
                "2026-01-01T00:00:10+00:00",
            ),
            (
                "CRON_TZ=Europe/Berlin 0 3 * * *",
                "2026-07-01T12:00:00Z",
                "2026-07-02T01:00:00+00:00",
            ),
            (
                "TZ=Europe/Berlin 0 3 * * *",
                "2026-01-01T12:00:00Z",
                "2026-01-02T02:00:00+00:00",
            ),
            (
                "TZ=UTC @daily",
                "2026-01-01T12:00:00Z",
                "2026-01-02T00:00:00+00:00",
            ),
            (
                "TZ=UTC 0 0 * * MON",
                "2026-01-01T12:00:00Z",
                "2026-01-05T00:00:00+00:00",
            ),
        ] {
            assert_eq!(next_after(text, moment), expected, "{text}");
        }
    }

    /// In the night in which clocks go forward, half past two does not exist.
    #[test]
    fn the_night_of_the_change() {
        let next = next_after("TZ=Europe/Berlin 30 2 * * *", "2026-03-28T12:00:00Z");
        assert!(next.starts_with("2026-03-29T0"), "{next}");
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
