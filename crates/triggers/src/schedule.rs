//! Moments that come back: `cron_restart`.
//!
//! [`Schedule`] is pure: it tells the next moment after another one. [`Alarm`] waits for it with
//! one kernel timer on the wall clock, which also tells when somebody sets the clock; nothing
//! polls. The supervisor owns one alarm for an app, and restarts it whenever [`Alarm::ring`]
//! returns.

use std::io;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use sys::Readable;

/// A pattern of moments, in a time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// A schedule that cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub struct BadSchedule(String);

impl std::fmt::Display for BadSchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadSchedule {}

impl Schedule {
    /// Reads a pattern of five fields (minute, hour, day of the month, month, day of the week),
    /// six (with seconds before them) or seven (with a year after them), or a nickname such as
    /// `@daily`. `TZ=Europe/Vienna` (or `CRON_TZ=`) may stand before it; else `zone` holds, else
    /// the time zone of this machine.
    ///
    /// # Errors
    /// Says what cannot be read, and what was expected.
    pub fn parse(pattern: &str, zone: Option<&str>) -> Result<Self, BadSchedule> {
        let pattern = pattern.trim();
        let (own_zone, fields) = match pattern
            .strip_prefix("CRON_TZ=")
            .or_else(|| pattern.strip_prefix("TZ="))
        {
            Some(rest) => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            None => ("", pattern),
        };
        let zone = match Some(own_zone).filter(|own| !own.is_empty()).or(zone) {
            Some(name) => TimeZone::get(name).map_err(|_| {
                BadSchedule(format!(
                    "\"{}\" is no time zone; expected a name such as Europe/Vienna or UTC",
                    name.escape_debug()
                ))
            })?,
            None => TimeZone::system(),
        };
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .build()
            .parse(fields)
            .map_err(|error| {
                BadSchedule(format!(
                    "\"{}\" is no cron pattern ({error}); expected five fields, as in \
                     \"0 3 * * *\" for three in the morning; a sixth in front of them is for seconds, \
                     and a seventh behind them for years",
                    fields.escape_debug()
                ))
            })?;
        Ok(Self { cron, zone })
    }

    /// The first moment after this one, if there is any.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let start = moment.to_zoned(self.zone.clone());
        let next = self.cron.find_next_occurrence(&start, false).ok()?;
        // Never the same moment again, whatever a change of clocks does to the search.
        Some(next.timestamp()).filter(|next| *next > moment)
    }
}

/// A timer that rings at the moments of a schedule.
#[derive(Debug)]
pub struct Alarm {
    schedule: Schedule,
    timer: Readable,
    /// Moments up to this one have been dealt with.
    passed: Timestamp,
}

impl Alarm {
    /// A timer for the moments after now; needs tokio's reactor.
    ///
    /// # Errors
    /// If the kernel refuses a timer.
    pub fn new(schedule: Schedule) -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Realtime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        Ok(Self {
            schedule,
            timer: Readable::new(timer)?,
            passed: Timestamp::now(),
        })
    }

    /// The moment at which it rings next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.schedule.after(self.passed)
    }

    /// Waits for the next moment; for ever, if there is none. May be dropped while it waits.
    ///
    /// Moments that were missed together, as the machine slept, ring once.
    ///
    /// # Errors
    /// Those of the timer.
    pub async fn ring(&mut self) -> io::Result<()> {
        loop {
            let Some(next) = self.next() else {
                return std::future::pending().await;
            };
            let now = Timestamp::now();
            if next <= now {
                self.passed = now;
                return Ok(());
            }
            self.set(next)?;
            let mut count = [0; 8];
            let rung = self
                .timer
                .read(|timer| Ok(rustix::io::read(timer, &mut count)?));
            match rung.await {
                Ok(_) => {}
                // The clock was set: a moment that has passed may come once more.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::CANCELED) => {
                    self.passed = self.passed.min(Timestamp::now());
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn set(&self, next: Timestamp) -> io::Result<()> {
        let value = Timespec {
            tv_sec: next.as_second(),
            tv_nsec: next.subsec_nanosecond().into(),
        };
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        let timer = Itimerspec {
            it_interval: never,
            it_value: value,
        };
        match timerfd_settime(&self.timer, flags, &timer) {
            // What is reported is an earlier change; the timer is set all the same.
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(pattern: &str, zone: Option<&str>, start: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(pattern, zone).unwrap();
        let first: Timestamp = start.parse().unwrap();
        std::iter::successors(Some(first), |moment| schedule.after(*moment))
            .skip(1)
            .take(count)
            .map(|moment| moment.to_string())
            .collect()
    }

    #[test]
    fn patterns_give_their_moments() {
        let utc = Some("UTC");
        for (pattern, start, expected) in [
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            (
                "0 3 * * *",
                "2026-01-01T02:59:59.9Z",
                "2026-01-01T03:00:00Z",
            ),
            (
                "*/5 * * * * *",
                "2026-01-01T00:00:03Z",
                "2026-01-01T00:00:05Z",
            ),
            ("@hourly", "2026-01-01T00:00:03Z", "2026-01-01T01:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            (
                "0 12 * * MON-FRI",
                "2026-01-02T12:00:00Z",
                "2026-01-05T12:00:00Z",
            ),
        ] {
            assert_eq!(moments(pattern, utc, start, 1), [expected], "{pattern}");
        }
        assert!(moments("0 0 30 2 *", utc, "2026-01-01T00:00:00Z", 1).is_empty());
    }

    #[test]
    fn a_time_zone_moves_them() {
        let start = "2026-01-01T00:00:00Z";
        assert_eq!(
            moments("TZ=Asia/Tokyo 0 3 * * *", None, start, 1),
            ["2026-01-01T18:00:00Z"]
        );
        assert_eq!(
            moments("CRON_TZ=UTC 0 3 * * *", Some("Asia/Tokyo"), start, 1),
            ["2026-01-01T03:00:00Z"]
        );
    }

    #[test]
    fn a_change_of_clocks_neither_stops_nor_repeats_a_day() {
        let vienna = Some("Europe/Vienna");
        // On 29 March 2026 there is no half past two, on 25 October there are two.
        let spring = moments("30 2 * * *", vienna, "2026-03-28T00:00:00Z", 3);
        assert_eq!(spring[0], "2026-03-28T01:30:00Z");
        assert!(spring[1].starts_with("2026-03-29") || spring[1].starts_with("2026-03-30"));
        let autumn = moments("30 2 * * *", vienna, "2026-10-24T12:00:00Z", 2);
        assert!(autumn[0].starts_with("2026-10-25"));
        assert!(autumn[1].starts_with("2026-10-26"), "{autumn:?}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = |pattern, zone| Schedule::parse(pattern, zone).unwrap_err().to_string();
        assert!(error("61 * * * *", None).contains("61 * * * *"));
        assert!(error("", None).contains("expected five fields"));
        assert!(error("TZ=Mars/Base", None).contains("\"Mars/Base\" is no time zone"));
        assert!(error("* * * * *", Some("x")).contains("no time zone"));
    }

    #[test]
    fn an_alarm_rings_at_its_moment() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let schedule = Schedule::parse("* * * * * *", Some("UTC")).unwrap();
            let mut alarm = Alarm::new(schedule).unwrap();
            for _ in 0..2 {
                let next = alarm.next().unwrap();
                alarm.ring().await.unwrap();
                assert!(Timestamp::now() >= next);
            }
        });
    }
}
