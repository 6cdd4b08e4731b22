//! What an entry looks like as a line. No text that a client has written can end a line, end a
//! field, or do anything to a terminal.

use std::borrow::Cow;
use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::entry::{Entry, Outcome, Text};
use telemetry::ids::Instance;

/// What nginx writes where a client has gone before it was told anything.
const GONE: u16 = 499;

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache's and nginx's `combined`, and behind it the seconds that it took, the instance, and
    /// the request's number.
    Combined,
    /// An object.
    Json,
}

/// Writes entries as lines.
#[derive(Debug)]
pub(super) struct Formatter {
    format: Format,
    zone: TimeZone,
    /// The second that was written last, and how: many requests end in one.
    second: (i64, String),
}

impl Formatter {
    pub(super) fn new(format: Format, zone: TimeZone) -> Self {
        Self {
            format,
            zone,
            second: (i64::MIN, String::new()),
        }
    }

    /// Appends one line.
    pub(super) fn write(&mut self, entry: &Entry, to: &mut Vec<u8>) {
        match self.format {
            Format::Combined => self.combined(entry, to),
            Format::Json => json(entry, to),
        }
        to.push(b'\n');
    }

    // Writing to a vector does not fail.
    fn combined(&mut self, entry: &Entry, to: &mut Vec<u8>) {
        match entry.client {
            Some(client) => {
                let _ = write!(to, "{client}");
            }
            None => to.push(b'-'),
        }
        let _ = write!(to, " - - [{}] \"", self.date(entry.at));
        escaped(&entry.line, to);
        let status = entry.status.unwrap_or(GONE);
        let _ = write!(to, "\" {status} {}", entry.bytes);
        for text in [&entry.referer, &entry.user_agent] {
            to.extend_from_slice(b" \"");
            match text {
                Some(text) => escaped(text, to),
                None => to.push(b'-'),
            }
            to.push(b'"');
        }
        let _ = write!(to, " {:.3} ", entry.duration.as_secs_f64());
        match entry.instance {
            Some(instance) => {
                let _ = write!(to, "{instance}");
            }
            None => to.push(b'-'),
        }
        let _ = write!(to, " {:016x}", entry.id);
    }

    fn date(&mut self, at: Timestamp) -> &str {
        if self.second.0 != at.as_second() {
            let date = at.to_zoned(self.zone.clone());
            let date = date.strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
            self.second = (at.as_second(), date);
        }
        &self.second.1
    }
}

/// As nginx does it: what is not plain text stands there in hexadecimal.
fn escaped(text: &Text, to: &mut Vec<u8>) {
    for byte in &text.bytes {
        match byte {
            b'"' | b'\\' | ..=0x1f | 0x7f.. => {
                let _ = write!(to, "\\x{byte:02X}");
            }
            _ => to.push(*byte),
        }
    }
    if text.is_cut {
        to.extend_from_slice(b"...");
    }
}

/// One line of JSON. `method`, `target` and `protocol` are there where the request line had them,
/// `line` where it was none.
#[derive(Serialize)]
struct Object<'a> {
    time: String,
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Cow<'a, str>>,
    status: Option<u16>,
    bytes: u64,
    duration_ms: f64,
    referer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
    instance: Option<Instance>,
    id: String,
    outcome: &'static str,
}

fn json(entry: &Entry, to: &mut Vec<u8>) {
    let whole = readable(&entry.line.bytes, entry.line.is_cut);
    let mut words = entry.line.bytes.split(|byte| *byte == b' ');
    let words = (words.next(), words.next(), words.next(), words.next());
    let (method, target, protocol, line) = match words {
        (Some(method), Some(target), Some(protocol), None) => (
            Some(readable(method, false)),
            Some(readable(target, false)),
            Some(readable(protocol, entry.line.is_cut)),
            None,
        ),
        _ => (None, None, None, Some(whole)),
    };
    let text = |text: &'_ Option<Text>| -> Option<Cow<'static, str>> {
        let text = text.as_ref()?;
        Some(readable(&text.bytes, text.is_cut).into_owned().into())
    };
    let object = Object {
        time: entry.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        client: entry.client.map(|client| client.to_string()),
        method,
        target,
        protocol,
        line,
        status: entry.status,
        bytes: entry.bytes,
        duration_ms: entry.duration.as_micros() as f64 / 1000.0,
        referer: text(&entry.referer),
        user_agent: text(&entry.user_agent),
        instance: entry.instance,
        id: format!("{:016x}", entry.id),
        outcome: match entry.outcome {
            Outcome::Answered => "answered",
            Outcome::Upgraded => "upgraded",
            Outcome::Aborted => "aborted",
            Outcome::Failed => "failed",
        },
    };
    // Neither texts and numbers nor writing to memory can fail.
    let _ = serde_json::to_writer(to, &object);
}

/// Bytes as text. JSON escapes what is below a space; what else a terminal might obey (DEL, and
/// the controls of Latin-1) is left out.
fn readable(bytes: &[u8], is_cut: bool) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    let obeyed = |it: char| matches!(it, '\u{7f}'..='\u{9f}');
    match (text.contains(obeyed), is_cut) {
        (false, false) => text,
        (_, is_cut) => {
            let mut text = text.replace(obeyed, "\u{fffd}");
            if is_cut {
                text.push_str("...");
            }
            text.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry() -> Entry {
        Entry {
            id: 0xabc,
            client: Some("192.0.2.7".parse().unwrap()),
            at: "2026-03-07T09:05:03.25Z".parse().unwrap(),
            duration: Duration::from_micros(12_345),
            line: Text::of(b"GET /a?b=c HTTP/1.1"),
            status: Some(200),
            bytes: 42,
            referer: Some(Text::of(b"https://example.org/")),
            user_agent: Some(Text::of("Mozilla/5.0 (ü)".as_bytes())),
            instance: Some(Instance(3)),
            outcome: Outcome::Answered,
        }
    }

    fn line(format: Format, entry: &Entry) -> String {
        let mut to = Vec::new();
        Formatter::new(format, TimeZone::UTC).write(entry, &mut to);
        let line = String::from_utf8(to).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(!line.trim_end().contains(char::is_control), "{line:?}");
        line.trim_end().to_owned()
    }

    #[test]
    fn combined_is_what_tools_know() {
        assert_eq!(
            line(Format::Combined, &entry()),
            "192.0.2.7 - - [07/Mar/2026:09:05:03 +0000] \"GET /a?b=c HTTP/1.1\" 200 42 \
             \"https://example.org/\" \"Mozilla/5.0 (\\xC3\\xBC)\" 0.012 3 0000000000000abc"
        );
        let nothing = Entry {
            client: None,
            status: None,
            referer: None,
            user_agent: None,
            instance: None,
            ..entry()
        };
        assert_eq!(
            line(Format::Combined, &nothing),
            "- - - [07/Mar/2026:09:05:03 +0000] \"GET /a?b=c HTTP/1.1\" 499 42 \"-\" \"-\" 0.012 - \
             0000000000000abc"
        );
    }

    #[test]
    fn json_is_one_object() {
        let object: serde_json::Value =
            serde_json::from_str(&line(Format::Json, &entry())).unwrap();
        assert_eq!(
            object,
            serde_json::json!({
                "time": "2026-03-07T09:05:03.250Z",
                "client": "192.0.2.7",
                "method": "GET",
                "target": "/a?b=c",
                "protocol": "HTTP/1.1",
                "status": 200,
                "bytes": 42,
                "duration_ms": 12.345,
                "referer": "https://example.org/",
                "user_agent": "Mozilla/5.0 (ü)",
                "instance": 3,
                "id": "0000000000000abc",
                "outcome": "answered",
            })
        );
    }

    /// Whatever bytes a client sends, they stay one field of one line.
    #[test]
    fn nobody_forges_a_line() {
        for evil in [
            &b"GET /\r\n192.0.2.9 - - [x] \"GET /forged HTTP/1.1\" 200 1 \"-\" \"-\""[..],
            b"\" 200 1 \"-\" \"-\"\n",
            b"\x1b[2J\x07\x7f\x00\\",
            "\u{9b}2J\u{85}".as_bytes(),
            b"\xff\xfe\x9b",
            &[b'"'; 5000],
        ] {
            let evil = Entry {
                line: Text::of(evil),
                referer: Some(Text::of(evil)),
                user_agent: Some(Text::of(evil)),
                ..entry()
            };
            let combined = line(Format::Combined, &evil);
            assert_eq!(combined.matches('"').count(), 6, "{combined}");
            let object: serde_json::Value =
                serde_json::from_str(&line(Format::Json, &evil)).unwrap();
            assert_eq!(object["status"], 200);
            assert!(combined.len() < 5 * 3 * 2048);
        }
    }
}
