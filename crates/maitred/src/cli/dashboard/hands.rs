//! What is ordered and asked on the dashboard, done as the commands do it.

use serde_json::Value;

use super::super::live::log::{AppLog, last_lines};
use super::super::live::order::{Order, What};
use super::super::logs::Form;
use crate::apps::{self, Change, Known};
use dashboard::{Action, Hands, Kind, Lines, LogLine, Refused, plain};
use home::Home;
use telemetry::ids::Instance;
use telemetry::metrics;

/// Does what the commands of those names do.
pub(super) struct Commands {
    pub(super) home: Home,
}

impl Commands {
    fn all(&self) -> Result<Vec<Known>, Refused> {
        let all = apps::all_telling(&self.home, &mut |_| {});
        all.map_err(|error| failed(&error))
    }

    fn known(&self, name: &str) -> Result<Known, Refused> {
        let known = self.all()?.into_iter();
        let mut known = known.filter(|known| known.record.app.name == name);
        let none = || Refused::Unknown(format!("no app is called {}", plain(name)));
        known.next().ok_or_else(none)
    }
}

impl Hands for Commands {
    fn act(&self, order: &dashboard::Order) -> Result<String, Refused> {
        let known = self.known(&order.app)?;
        let instances = &known.record.instances;
        let count = instances.len();
        let instance = match order.instance {
            None => None,
            Some(number) => {
                let instance = Instance(number);
                let kept = instances.iter().find(|kept| kept.instance == instance);
                let none = || Refused::Unknown(format!("the app has no instance {instance}"));
                Some((kept.ok_or_else(none)?.id, instance))
            }
        };
        let order = Order {
            what: match order.action {
                Action::Start => What::Start,
                Action::Stop => What::Stop,
                Action::Restart => What::Restart,
                Action::Reload => What::Reload,
                Action::Scale(count) => What::Scale(Change::To(count)),
            },
            known,
            instance,
            count,
        };
        let done = order.act(&self.home, &mut |_| {});
        done.map(|done| plain(&done))
            .map_err(|error| failed(&error))
    }

    fn logs(&self, app: &str, lines: usize) -> Result<Vec<LogLine>, Refused> {
        let known = self.known(app)?;
        let lines = last_lines(self.home.clone(), known.folder, Form::Json, lines);
        let lines = lines.map_err(|error| failed(&error))?;
        Ok(lines.iter().map(|line| parsed(line)).collect())
    }

    fn follow(&self, app: &str, lines: usize) -> Result<Box<dyn Lines>, Refused> {
        let known = self.known(app)?;
        let log = AppLog::follow(self.home.clone(), known.folder, Form::Json, lines);
        match log {
            Ok(log) => Ok(Box::new(Followed(log))),
            Err(error) => Err(failed(&error.into())),
        }
    }

    fn metrics(&self, open_metrics: bool) -> Result<(&'static str, String), Refused> {
        let known = self.all()?;
        let mut measured = Vec::new();
        for (known, answer) in known.iter().zip(apps::metrics(&known)) {
            let name = plain(&known.record.app.name);
            let no = |fault| Refused::Failed(format!("no metrics of {name}: {fault}"));
            // An app without a supervisor does nothing that could be measured.
            measured.extend(answer.map_err(no)?);
        }
        Ok(match open_metrics {
            true => (metrics::OPEN_METRICS, metrics::open_metrics(measured)),
            false => (metrics::PROMETHEUS, metrics::prometheus(measured)),
        })
    }
}

/// An app's log that is followed.
struct Followed(AppLog);

impl Lines for Followed {
    fn take(&mut self, most: usize) -> Vec<LogLine> {
        let lines = self.0.new_lines(most);
        lines.map(|line| parsed(&line)).collect()
    }
}

fn failed(error: &anyhow::Error) -> Refused {
    let text = format!("{error:#}");
    let lines: Vec<_> = text.lines().map(plain).collect();
    Refused::Failed(lines.join("\n"))
}

/// A line as `maitred logs --json` shows it. One that was cut, for it is too long, stays as it is.
fn parsed(line: &str) -> LogLine {
    let object = serde_json::from_str::<Value>(line).unwrap_or_default();
    let text = |key| object.get(key).and_then(Value::as_str);
    let id = object.get("process_id").and_then(Value::as_u64);
    LogLine {
        at: text("timestamp").map(plain),
        kind: match text("type") {
            Some("err") => Kind::Err,
            Some("maitred") => Kind::Maitred,
            _ => Kind::Out,
        },
        id: id.and_then(|id| u32::try_from(id).ok()),
        text: plain(
            text("message")
                .unwrap_or(line)
                .trim_end_matches(['\r', '\n']),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_any_kind_are_text() {
        let line =
            r#"{"message":"a\u001b[31mb\u001b[2J","timestamp":null,"type":"err","process_id":3}"#;
        let parsed_line = LogLine {
            at: None,
            kind: Kind::Err,
            id: Some(3),
            text: "ab\\u{1b}[2J".into(),
        };
        assert_eq!(parsed(line), parsed_line);
        for strange in [
            "",
            "{",
            "[1]",
            "{\"message\":",
            "\x1b[2J",
            "{\"process_id\":-1}",
        ] {
            let line = parsed(strange);
            assert_eq!((line.kind, line.id), (Kind::Out, None), "{strange}");
            assert!(!line.text.contains('\x1b'), "{strange}");
        }
    }
}
