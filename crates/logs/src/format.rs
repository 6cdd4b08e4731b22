//! How a worker's lines stand in a log: as they are, with a date before each, or as JSON.

use std::borrow::Cow;
use std::io::Write;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Serialize;

use super::Stream;
use super::date::DateFormat;
use telemetry::ids::InstanceId;

/// What a line looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As the worker wrote it.
    #[default]
    Plain,
    /// With a date, a colon and a space before it, as pm2 does.
    Dated(DateFormat),
    /// One object a line, with pm2's fields; the time as the format says, or else as
    /// `Date.toISOString` writes it.
    Json(Option<DateFormat>),
}

/// Who wrote a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// The app.
    pub(super) app: String,
    /// The number by which users know the process.
    pub(super) id: InstanceId,
    pub(super) stream: Stream,
}

#[derive(Serialize)]
struct Object<'a> {
    message: Cow<'a, str>,
    timestamp: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    process_id: InstanceId,
    app_name: &'a str,
}

impl Format {
    /// Whole lines, each with its end, as they stand in the log. What need not be changed is not
    /// copied; everything else is written to `space`.
    pub(super) fn apply<'a>(
        &self,
        origin: &Origin,
        now: Timestamp,
        lines: &'a [u8],
        space: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        space.clear();
        match self {
            Self::Plain => return lines,
            Self::Dated(date) => {
                let mut prefix = Vec::new();
                date.write(&now.to_zoned(TimeZone::system()), &mut prefix);
                prefix.extend_from_slice(b": ");
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    space.extend_from_slice(&prefix);
                    space.extend_from_slice(line);
                }
            }
            Self::Json(date) => {
                let timestamp = timestamp(date.as_ref(), now);
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    let object = Object {
                        message: String::from_utf8_lossy(line),
                        timestamp: &timestamp,
                        kind: origin.stream.name(),
                        process_id: origin.id,
                        app_name: &origin.app,
                    };
                    // Neither strings nor writing to memory can fail.
                    let _ = serde_json::to_writer(&mut *space, &object);
                    space.push(b'\n');
                }
            }
        }
        space
    }

    /// A line of ours, in the same form.
    pub(super) fn note(&self, app: &str, now: Timestamp, text: &str) -> Vec<u8> {
        match self {
            Self::Plain | Self::Dated(_) => format!("maitred: {text}\n").into_bytes(),
            Self::Json(date) => {
                let timestamp = timestamp(date.as_ref(), now);
                let note = serde_json::json!({
                    "message": text,
                    "timestamp": timestamp,
                    "type": "maitred",
                    "app_name": app,
                });
                let mut line = note.to_string().into_bytes();
                line.push(b'\n');
                line
            }
        }
    }
}

fn timestamp(date: Option<&DateFormat>, now: Timestamp) -> String {
    let mut out = Vec::new();
    match date {
        Some(date) => date.write(&now.to_zoned(TimeZone::system()), &mut out),
        None => {
            let utc: Zoned = now.to_zoned(TimeZone::UTC);
            // Writing to memory does not fail.
            let _ = write!(out, "{}", utc.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"));
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: &Format, lines: &[u8]) -> String {
        let origin = Origin {
            app: "api".into(),
            id: InstanceId(3),
            stream: Stream::Err,
        };
        let mut space = Vec::new();
        let now = "2026-03-07T09:05:03.042Z".parse().unwrap();
        String::from_utf8(format.apply(&origin, now, lines, &mut space).to_vec()).unwrap()
    }

    #[test]
    fn plain_lines_stay() {
        assert_eq!(shown(&Format::Plain, b"a\n\x1b[1mb\n"), "a\n\x1b[1mb\n");
    }

    #[test]
    fn each_line_has_its_date() {
        let format = Format::Dated(DateFormat::parse("[at] X"));
        assert_eq!(
            shown(&format, b"a\n\n"),
            "at 1772874303: a\nat 1772874303: \n"
        );
    }

    #[test]
    fn a_line_cannot_forge_another_object() {
        let forged = b"\"},{\"message\":\"x\r\x1b\x00\xff\r\nnext\n";
        assert_eq!(
            shown(&Format::Json(None), forged),
            "{\"message\":\"\\\"},{\\\"message\\\":\\\"x\\r\\u001b\\u0000\u{fffd}\",\
             \"timestamp\":\"2026-03-07T09:05:03.042Z\",\"type\":\"err\",\"process_id\":3,\
             \"app_name\":\"api\"}\n\
             {\"message\":\"next\",\"timestamp\":\"2026-03-07T09:05:03.042Z\",\"type\":\"err\",\
             \"process_id\":3,\"app_name\":\"api\"}\n"
        );
    }
}
