//! The last run of an app, above all of a job: what has come of it, and when.

use anstyle::{AnsiColor, Style};

use super::shown;
use super::table::Cell;
use config::App;
use home::control::InstanceView;
use home::{Exit, LastRun, now_ms};

/// What the list has as the status of a job between two runs: the outcome of the last one, and when it
/// was.
pub(super) fn status(app: &App, view: &InstanceView) -> Option<Cell> {
    let (run, exit) = view.last_run.zip(view.exit)?;
    if app.job().is_none() || !view.waits {
        return None;
    }
    let (outcome, colour) = match exit {
        Exit::Code(0) => ("ok".to_owned(), AnsiColor::Green),
        Exit::Code(code) => (format!("failed ({code})"), AnsiColor::Red),
        Exit::Signal(signal) => {
            let name = config::signal_name(signal);
            (format!("killed ({name})"), AnsiColor::Red)
        }
    };
    Some(Cell {
        text: format!("{outcome} {}", ago(run.ended, now_ms())),
        style: Style::new().fg_color(Some(colour.into())),
    })
}

/// When it was, and how long it took.
pub(super) fn told(run: LastRun) -> String {
    let took = run.ended.saturating_sub(run.started);
    let took = match took {
        0..1000 => format!("{took} ms"),
        took => shown::duration(took),
    };
    format!("ended {}, took {took}", ago(run.ended, now_ms()))
}

fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) {
        0..1000 => "just now".to_owned(),
        since => format!("{} ago", shown::duration(since)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        for (then, now, text) in [
            (5000, 5999, "just now"),
            (5000, 6000, "1s ago"),
            (0, 7_200_000, "2h ago"),
            // Somebody has set the clock back.
            (5000, 0, "just now"),
        ] {
            assert_eq!(ago(then, now), text);
        }
    }
}
