//! `maitred events`: what happens to apps, as it happens.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write, stdout};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Manner, shown, together};
use crate::apps::{Following, Known, News};
use home::control::Told;
use home::{Home, now_ms};
use supervisor::output::Sentences;
use telemetry::events::Event;
use telemetry::ids::Instance;

/// Show what happens to apps, until Ctrl-C: starts, exits, reloads, trouble.
///
/// Apps that start later are shown too. Apps of `maitred run` are not; --events of that command
/// writes theirs.
#[derive(Debug, Args)]
pub(super) struct Events {
    /// Apps: names, numbers, namespaces, /patterns/ or "all".
    #[arg(value_name = "APP", default_value = "all")]
    targets: Vec<String>,

    /// One JSON object a line: when, of which app, and what.
    #[arg(long)]
    json: bool,
}

/// An event as JSON.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    app: &'a str,
    namespace: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

/// What stands where events are missing.
#[derive(Serialize)]
struct Missed<'a> {
    time: String,
    app: &'a str,
    namespace: &'a str,
    event: &'static str,
    count: u64,
}

impl Events {
    pub(super) fn execute(self, manner: &Manner) -> anyhow::Result<u8> {
        let home = Home::find()?;
        let mut following = Following::new(&home, &self.targets, now_ms())?;
        let mut writer = Writer {
            json: self.json,
            sentences: BTreeMap::new(),
        };
        let (mut news, mut soon) = following.look()?;
        let apps = match following.count() {
            1 => "1 app".to_owned(),
            count => format!("{count} apps"),
        };
        let note = format!("following the events of {apps} that run, and of those that start");
        together::say(manner, &note);
        let out = stdout();
        loop {
            match writer.write(&news) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(0),
                result => result.context("writing to standard output")?,
            }
            let Some((told, looks)) = following.wait(out.as_fd(), soon)? else {
                return Ok(0);
            };
            news = told;
            soon = false;
            if looks {
                let (more, again) = following.look()?;
                news.extend(more);
                soon = again;
            }
        }
    }
}

struct Writer {
    json: bool,
    /// What was said of each app, by its folder: what it says once it says once here, too.
    sentences: BTreeMap<PathBuf, Sentences>,
}

impl Writer {
    fn write(&mut self, news: &[News]) -> io::Result<()> {
        let mut out = stdout().lock();
        for news in news {
            match news {
                News::Fault { known, fault } => {
                    let name = shown::plain(&known.record.app.name);
                    together::complain(&format!("{name}: not followed: {fault}"));
                }
                News::Told {
                    known,
                    instances,
                    told,
                } => {
                    let instances = instances.as_deref();
                    out.write_all(self.lines(known, instances, told)?.as_bytes())?;
                }
            }
        }
        out.flush()
    }

    /// What is shown of an event, which may be nothing.
    fn lines(
        &mut self,
        known: &Known,
        instances: Option<&[Instance]>,
        told: &Told,
    ) -> serde_json::Result<String> {
        let app = &known.record.app;
        let at = match told {
            Told::Happened(happened) => happened.at,
            Told::Missed(_) => now_ms(),
        };
        if let (Told::Happened(happened), Some(instances)) = (told, instances)
            && !concerns(&happened.event, instances)
        {
            return Ok(String::new());
        }
        if self.json {
            let (time, app, namespace) = (utc(at), &*app.name, &*app.namespace);
            let mut line = match told {
                Told::Happened(happened) => serde_json::to_string(&Line {
                    time,
                    app,
                    namespace,
                    event: &happened.event,
                }),
                Told::Missed(count) => serde_json::to_string(&Missed {
                    time,
                    app,
                    namespace,
                    event: "missed",
                    count: *count,
                }),
            }?;
            line.push('\n');
            return Ok(line);
        }
        let folder = known.folder.path().to_owned();
        let sentences = self.sentences.entry(folder);
        let sentences = sentences.or_insert_with(|| Sentences::new(app, false));
        let text = match told {
            Told::Happened(happened) => sentences.in_words(&happened.event),
            Told::Missed(count) => Some(format!(
                "{count} events are not shown: they came faster than they were read"
            )),
        };
        let before = format!("{} {} | ", local(at), shown::plain(&app.name));
        let text = text.unwrap_or_default();
        let lines = text.lines();
        Ok(lines
            .map(|line| format!("{before}{}\n", shown::plain(line)))
            .collect())
    }
}

/// Whether an event is one of these instances, or of the whole app.
fn concerns(event: &Event, instances: &[Instance]) -> bool {
    let event = serde_json::to_value(event).unwrap_or_default();
    let instance = event.get("instance").and_then(serde_json::Value::as_u64);
    instance.is_none_or(|instance| instances.iter().any(|it| u64::from(it.0) == instance))
}

fn timestamp(at: u64) -> Timestamp {
    let at = i64::try_from(at).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(at).unwrap_or(Timestamp::MAX)
}

fn utc(at: u64) -> String {
    timestamp(at).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

fn local(at: u64) -> String {
    let zoned = timestamp(at).to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_its_events_and_those_of_the_app() {
        let of = |instance| Event::Rejection {
            instance: Instance(instance),
        };
        assert!(concerns(&of(2), &[Instance(1), Instance(2)]));
        assert!(!concerns(&of(0), &[Instance(1), Instance(2)]));
        assert!(concerns(&Event::Uncounted, &[Instance(1), Instance(2)]));
    }

    #[test]
    fn any_time_can_be_shown() {
        assert_eq!(utc(1_772_874_303_042), "2026-03-07T09:05:03.042Z");
        assert!(utc(u64::MAX).starts_with("9999-12-3"));
        assert!(!local(u64::MAX).is_empty());
    }
}
