//! How lines are shown by `maitred logs`.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::{AnsiColor, Color, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};

use super::screen::{self, Colours};
use super::{Entry, Voice};
use crate::{DateFormat, Stream, own};

/// The form of what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// With the name of the process before each line.
    Pretty,
    /// The lines alone.
    Raw,
    /// An object a line.
    Json,
    /// `key=value` pairs.
    Pairs,
}

/// How lines are shown.
#[derive(Clone, Debug)]
pub struct View {
    pub form: Form,
    /// Whether the pretty form has a title, and the name of each log above its last lines.
    pub headers: bool,
    /// Shown before lines that are written now, and before a supervisor's; of older ones of a worker
    /// it is not known.
    pub timestamp: Option<DateFormat>,
    /// Text that is to stand out.
    pub highlight: Option<String>,
    /// Whether a terminal shows it, which is to be protected.
    pub terminal: bool,
    /// Whether there may be colours.
    pub colours: bool,
}

impl View {
    /// Appends a line as it is shown. `now` is `None` for those that were there before.
    pub(super) fn line(
        &self,
        entry: &Entry,
        width: usize,
        line: &[u8],
        now: Option<Timestamp>,
        out: &mut Vec<u8>,
    ) {
        let (at, line) = match entry.voice {
            Voice::Worker { .. } => (None, line),
            Voice::Supervisor => own::parts(line),
        };
        let now = at.or(now);
        match self.form {
            Form::Raw if !self.terminal => out.extend_from_slice(line),
            Form::Raw => self.message(line, out),
            Form::Pretty => {
                if let (Some(format), Some(now)) = (&self.timestamp, now) {
                    let date = date(format, now);
                    self.styled(Style::new().dimmed(), &date, out);
                    out.push(b' ');
                }
                let label = format!("{:width$} |", entry.label());
                self.styled(colour(entry.voice), &label, out);
                out.push(b' ');
                // As pm2 shows what it says itself.
                if let (None, Some(at)) = (&self.timestamp, at) {
                    let format = DateFormat::parse("YYYY-MM-DDTHH:mm:ss: ");
                    out.extend_from_slice(date(&format, at).as_bytes());
                }
                self.message(line, out);
            }
            Form::Pairs => {
                if let Some(now) = now {
                    let format = DateFormat::parse("YYYY-MM-DD-HH:mm:ssZZ");
                    let format = self.timestamp.as_ref().unwrap_or(&format);
                    out.extend_from_slice(format!("timestamp={} ", date(format, now)).as_bytes());
                }
                let app = printable(&entry.app);
                let pairs = match entry.voice {
                    Voice::Worker { id, stream } => {
                        let kind = match stream {
                            Stream::Out => "out",
                            Stream::Err => "error",
                        };
                        format!("app={app} id={id} type={kind} message=")
                    }
                    Voice::Supervisor => format!("app={app} type=maitred message="),
                };
                out.extend_from_slice(pairs.as_bytes());
                self.message(line, out);
            }
            Form::Json => json_line(entry, line, now, out),
        }
        out.push(b'\n');
    }

    /// What stands above the last lines of a file, with a line end.
    pub(super) fn header(&self, entry: &Entry, lines: usize, out: &mut Vec<u8>) {
        let path = printable(&entry.path.to_string_lossy()).into_owned();
        let text = format!("{path} last {lines} lines:");
        self.styled(AnsiColor::BrightBlack.on_default(), &text, out);
        out.push(b'\n');
    }

    /// A sentence of ours, with a line end.
    pub(super) fn title(&self, text: &str, out: &mut Vec<u8>) {
        self.styled(AnsiColor::BrightBlack.on_default().bold(), text, out);
        out.push(b'\n');
    }

    /// Whether there are headers.
    pub(super) fn has_headers(&self) -> bool {
        self.form == Form::Pretty && self.headers
    }

    fn message(&self, line: &[u8], out: &mut Vec<u8>) {
        let passing = if self.colours {
            Colours::Pass
        } else {
            Colours::Drop
        };
        let Some(wanted) = self.highlight.as_deref().filter(|text| !text.is_empty()) else {
            screen::clean(line, passing, out);
            return;
        };
        let mut cleaned = Vec::new();
        screen::clean(line, passing, &mut cleaned);
        let mut rest = cleaned.as_slice();
        while let Some(at) = memchr::memmem::find(rest, wanted.as_bytes()) {
            let (before, found) = rest.split_at(at);
            let (_, after) = found.split_at(wanted.len());
            out.extend_from_slice(before);
            let style = Style::new().bg_color(Some(Color::Ansi(AnsiColor::BrightBlack)));
            self.styled(style, wanted, out);
            rest = after;
        }
        out.extend_from_slice(rest);
    }

    fn styled(&self, style: Style, text: &str, out: &mut Vec<u8>) {
        let style = if self.colours { style } else { Style::new() };
        // Writing to memory does not fail.
        let _ = write!(out, "{style}{text}{style:#}");
    }
}

/// Shows lines of logs.
pub(super) struct Printer<'a> {
    view: &'a View,
    /// How wide names are.
    width: usize,
    to: &'a mut dyn Write,
    written: io::Result<()>,
    /// A line as it is shown.
    text: Vec<u8>,
}

impl<'a> Printer<'a> {
    pub(super) fn new(view: &'a View, width: usize, to: &'a mut dyn Write) -> Self {
        Self {
            view,
            width,
            to,
            written: Ok(()),
            text: Vec::new(),
        }
    }

    /// Shows lines of one log; `now` as for [`View::line`].
    pub(super) fn lines(&mut self, entry: &Entry, lines: &[u8], now: Option<Timestamp>) {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            self.text.clear();
            self.view.line(entry, self.width, line, now, &mut self.text);
            if self.written.is_ok() {
                self.written = self.to.write_all(&self.text);
            }
        }
    }

    /// # Errors
    /// If not all could be written.
    pub(super) fn finish(self) -> io::Result<()> {
        self.written
    }
}

fn colour(voice: Voice) -> Style {
    let colour = match voice {
        Voice::Worker { stream, .. } => match stream {
            Stream::Out => AnsiColor::Green,
            Stream::Err => AnsiColor::Red,
        },
        Voice::Supervisor => AnsiColor::Blue,
    };
    colour.on_default()
}

fn date(format: &DateFormat, now: Timestamp) -> String {
    let mut out = Vec::new();
    format.write(&now.to_zoned(TimeZone::system()), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A name or path of which no part acts on a terminal.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.escape_debug().to_string())
    } else {
        Cow::Borrowed(text)
    }
}

/// pm2's object. A line that is one already, from a log in JSON, stays as it is.
fn json_line(entry: &Entry, line: &[u8], now: Option<Timestamp>, out: &mut Vec<u8>) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let own = serde_json::from_slice::<Map<String, Value>>(line).ok();
    let object = own.filter(|map| {
        ["message", "timestamp", "type", "process_id", "app_name"]
            .iter()
            .all(|key| map.contains_key(*key))
    });
    let (id, kind) = match entry.voice {
        Voice::Worker { id, stream } => (Some(id), stream.name()),
        Voice::Supervisor => (None, "maitred"),
    };
    let object = object.map(Value::Object).unwrap_or_else(|| {
        json!({
            "message": String::from_utf8_lossy(line),
            "timestamp": now.map(|now| now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()),
            "type": kind,
            "process_id": id,
            "app_name": entry.app,
        })
    });
    screen::clean_json(&object.to_string(), out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use safe_files::Rights;
    use telemetry::ids::InstanceId;

    fn shown(view: &View, line: &[u8], live: bool) -> String {
        let voice = Voice::Worker {
            id: InstanceId(2),
            stream: Stream::Err,
        };
        shown_of(voice, view, line, live)
    }

    fn shown_of(voice: Voice, view: &View, line: &[u8], live: bool) -> String {
        let entry = Entry {
            app: "api".into(),
            voice,
            path: "/logs/api-error-2.log".into(),
            rights: Rights::default(),
        };
        let now = "2026-03-07T09:05:03.042Z".parse().unwrap();
        let mut out = Vec::new();
        view.line(&entry, 8, line, live.then_some(now), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn view(form: Form) -> View {
        View {
            form,
            headers: true,
            timestamp: None,
            highlight: None,
            terminal: true,
            colours: false,
        }
    }

    #[test]
    fn forms() {
        let line = b"a\x1b[2J\x1b[1mb\r";
        let pretty = view(Form::Pretty);
        assert_eq!(shown(&pretty, line, true), "2|api    | a\\x1b[2Jb\n");
        assert_eq!(shown(&view(Form::Raw), line, true), "a\\x1b[2Jb\n");
        let piped = View {
            terminal: false,
            ..view(Form::Raw)
        };
        assert_eq!(
            shown(&piped, line, true).as_bytes(),
            b"a\x1b[2J\x1b[1mb\r\n"
        );
        assert_eq!(
            shown(&view(Form::Pairs), b"x", false),
            "app=api id=2 type=error message=x\n"
        );
        assert!(shown(&view(Form::Pairs), b"x", true).starts_with("timestamp=2026-03-07-"));
    }

    #[test]
    fn the_supervisor_is_told_apart() {
        let line = |form| {
            let line = b"maitred: api-0 has exited";
            shown_of(Voice::Supervisor, &view(form), line, false)
        };
        assert_eq!(line(Form::Pretty), "api|maitred | api-0 has exited\n");
        let pairs = "app=api type=maitred message=api-0 has exited\n";
        assert_eq!(line(Form::Pairs), pairs);
        let object: Value = serde_json::from_str(&line(Form::Json)).unwrap();
        assert_eq!(object["type"], "maitred");
        assert_eq!(object["process_id"], Value::Null);
        assert_eq!(object["message"], "api-0 has exited");
        assert_eq!(object["timestamp"], Value::Null);
    }

    #[test]
    fn the_supervisor_says_when() {
        let line = b"2026-03-07T08:00:01.500Z maitred: api-0 has exited";
        let shown = |view: &View| shown_of(Voice::Supervisor, view, line, false);
        let local = date(
            &DateFormat::parse("YYYY-MM-DDTHH:mm:ss"),
            "2026-03-07T08:00:01Z".parse().unwrap(),
        );
        let pretty = format!("api|maitred | {local}: api-0 has exited\n");
        assert_eq!(shown(&view(Form::Pretty)), pretty);
        let dated = View {
            timestamp: Some(DateFormat::parse("X")),
            ..view(Form::Pretty)
        };
        let pretty = "1772870401 api|maitred | api-0 has exited\n";
        assert_eq!(shown(&dated), pretty);
        let object: Value = serde_json::from_str(&shown(&view(Form::Json))).unwrap();
        assert_eq!(object["timestamp"], "2026-03-07T08:00:01.500Z");
        assert_eq!(object["message"], "api-0 has exited");
    }

    #[test]
    fn colours_and_highlights() {
        let coloured = View {
            colours: true,
            highlight: Some("b".into()),
            ..view(Form::Pretty)
        };
        assert_eq!(
            shown(&coloured, b"abc", true),
            "\x1b[31m2|api    |\x1b[0m a\x1b[100mb\x1b[0mc\n"
        );
    }

    #[test]
    fn timestamps_are_for_what_is_written_now() {
        let dated = View {
            timestamp: Some(DateFormat::parse("X")),
            ..view(Form::Pretty)
        };
        assert_eq!(shown(&dated, b"x", true), "1772874303 2|api    | x\n");
        assert_eq!(shown(&dated, b"x", false), "2|api    | x\n");
    }

    #[test]
    fn json_is_one_object() {
        let json = |line: &[u8], live| -> Value {
            let text = shown(&view(Form::Json), line, live);
            assert_eq!(text.matches('\n').count(), 1);
            assert!(!text.contains('\u{9b}'));
            serde_json::from_str(&text).unwrap()
        };
        let object = json("a\u{9b}\x1b\"".as_bytes(), true);
        assert_eq!(object["message"], "a\u{9b}\x1b\"");
        assert_eq!(object["timestamp"], "2026-03-07T09:05:03.042Z");
        assert_eq!(object["type"], "err");
        assert_eq!(json(b"a", false)["timestamp"], Value::Null);
        let own = br#"{"message":"m","timestamp":"t","type":"out","process_id":7,"app_name":"b"}"#;
        assert_eq!(json(own, true)["process_id"], 7);
    }
}
