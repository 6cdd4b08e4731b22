//! `maitred logs`: what the workers have written, and what they write.

use std::io::{BufWriter, IsTerminal, stderr, stdout};

use anyhow::bail;
use clap::Args;

use super::app_logs::AppLogs;
pub(super) use logs::view::{self, Form, Request, View};
use logs::{DateFormat, Stream};
use supervisor::output::has_colours;

/// What `--timestamp` stands for, as with pm2.
const TIMESTAMP: &str = "YYYY-MM-DD-HH:mm:ss";

/// Show what the workers have written, and follow it.
///
/// The last lines of each log come first, then new ones as they are written, until Ctrl-C.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Whose: a name, id, namespace, /regex/ or "all".
    #[arg(value_name = "APP", default_value = "all")]
    pub(super) target: String,

    /// How many of the lines that are there already, of each log.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 15,
        allow_hyphen_values = true,
        value_parser = super::together::whole_number
    )]
    lines: i64,

    /// Only what is written to standard error.
    #[arg(long, conflicts_with = "out")]
    pub err: bool,

    /// Only what is written to standard output.
    #[arg(long)]
    pub out: bool,

    /// One JSON object a line.
    #[arg(long, conflicts_with_all = ["raw", "format"])]
    json: bool,

    /// The lines alone, without names before them.
    #[arg(long, conflicts_with = "format")]
    raw: bool,

    /// As key=value pairs.
    #[arg(long)]
    pub format: bool,

    /// End with the last line that is there.
    #[arg(long)]
    nostream: bool,

    /// The time before each new line, in this format (YYYY-MM-DD-HH:mm:ss).
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = false,
        default_missing_value = TIMESTAMP
    )]
    timestamp: Option<String>,

    /// Make this text stand out.
    #[arg(long, value_name = "TEXT")]
    highlight: Option<String>,
}

impl Logs {
    /// Shows the logs; the exit code.
    pub(super) fn execute(&self) -> anyhow::Result<u8> {
        let mut catalog = AppLogs::of(std::slice::from_ref(&self.target))?;
        let out = stdout();
        let terminal = out.is_terminal();
        let request = self.request(terminal)?;
        // A worker's lines may go to either; what is protected is the terminal.
        let mut out = BufWriter::new(out.lock());
        view::show(&mut catalog, &request, &mut out, &mut stderr())?;
        Ok(0)
    }

    fn request(&self, terminal: bool) -> anyhow::Result<Request> {
        let Ok(lines) = usize::try_from(self.lines.unsigned_abs()) else {
            bail!("--lines: {} are too many", self.lines);
        };
        let form = match (self.json, self.raw, self.format) {
            (true, _, _) => Form::Json,
            (_, true, _) => Form::Raw,
            (_, _, true) => Form::Pairs,
            (false, false, false) => Form::Pretty,
        };
        let only = match (self.out, self.err) {
            (true, _) => Some(Stream::Out),
            (_, true) => Some(Stream::Err),
            (false, false) => None,
        };
        Ok(Request {
            lines,
            only,
            follow: !self.nostream,
            on_stdout: true,
            until: None,
            target: self.target.clone(),
            view: View {
                form,
                headers: true,
                timestamp: self.timestamp.as_deref().map(DateFormat::parse),
                highlight: self.highlight.clone(),
                terminal: terminal || stderr().is_terminal(),
                colours: has_colours(&stdout()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        logs: Logs,
    }

    fn parsed(line: &str) -> Request {
        let words = ["logs"].into_iter().chain(line.split_whitespace());
        Line::parse_from(words).logs.request(false).unwrap()
    }

    #[test]
    fn flags_are_those_of_pm2() {
        let request = parsed("api --lines 100 --err --raw --nostream");
        assert_eq!(request.target, "api");
        assert_eq!(request.lines, 100);
        assert_eq!(request.only, Some(Stream::Err));
        assert_eq!(request.view.form, Form::Raw);
        assert!(!request.follow);
        let request = parsed("--timestamp --lines -5");
        assert_eq!(request.target, "all");
        assert_eq!(request.lines, 5);
        assert_eq!(request.view.timestamp, Some(DateFormat::parse(TIMESTAMP)));
        let request = parsed("--timestamp HH:mm --highlight GET --format");
        assert_eq!(request.view.timestamp, Some(DateFormat::parse("HH:mm")));
        assert_eq!(request.view.highlight.as_deref(), Some("GET"));
    }
}
