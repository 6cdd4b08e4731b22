//! Files of variables (`.env`), as the dotenv package reads them. Node's `--env-file` reads the
//! same, but for a few cases, in which dotenv is followed.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, bail};
use regex_lite::{Captures, Regex};

use super::environment::Environment;
use super::words::told;

/// More in one file are surely a mistake.
const MOST_VARIABLES: usize = 10_000;
/// A larger file is something else.
const MOST_BYTES: u64 = 4 << 20;

/// dotenv's own pattern. `$` is not expanded, and a value may span lines between quotes.
const LINE: &str = concat!(
    r"(?m)^\s*(?:export\s+)?([\w.-]+)(?:\s*=\s*?|:\s+?)",
    r#"(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\n]+)?"#,
    r"\s*(?:#.*)?$",
);

/// Variables, and what is odd about the file.
#[derive(Debug, Default, PartialEq)]
struct Parsed {
    variables: Vec<(String, String)>,
    /// Line numbers, each with what is odd there; never the line itself, which may hold a secret.
    odd: Vec<(usize, &'static str)>,
}

/// Reads a file with lines of `NAME=value`. What both references pass over in silence is passed
/// over with a warning.
///
/// # Errors
/// If it cannot be read or is no text; names the file and, where there is one, the line.
pub(super) fn read(path: &Path, warnings: &mut Vec<String>) -> anyhow::Result<Environment> {
    let shown = format!("env_file: {}", told(path));
    let text = text_of(path).with_context(|| shown.clone())?;
    if let Some(at) = text.find('\0') {
        bail!("{shown}: line {} has a NUL character", line_of(&text, at));
    }
    let parsed = parse(&text)?;
    let odd = parsed.odd.iter();
    warnings.extend(odd.map(|(line, what)| format!("{shown}: line {line} {what}")));
    let variables = parsed.variables.into_iter();
    let variables: Environment = variables
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    if variables.len() > MOST_VARIABLES {
        bail!("{shown} has more than {MOST_VARIABLES} variables");
    }
    Ok(variables)
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    let meta = path.metadata()?;
    if meta.is_dir() {
        bail!("it is a directory");
    }
    // A device or a pipe does not say how much it holds.
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("it is larger than {} MB", MOST_BYTES >> 20);
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        anyhow::anyhow!("line {line} is not UTF-8")
    })
}

fn parse(text: &str) -> anyhow::Result<Parsed> {
    let pattern = Regex::new(LINE)?;
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut parsed = Parsed::default();
    let mut end = 0;
    for found in pattern.captures_iter(&text) {
        let Some(whole) = found.get(0) else {
            continue;
        };
        parsed.pass_over(&text, end..whole.start());
        end = whole.end();
        parsed.variable(&text, &found);
    }
    parsed.pass_over(&text, end..text.len());
    Ok(parsed)
}

impl Parsed {
    /// Takes note of what is no variable: it should be blank, or comments.
    fn pass_over(&mut self, text: &str, range: Range<usize>) {
        let first = line_of(text, range.start);
        let between = text.get(range).unwrap_or("");
        for (line, found) in (first..).zip(between.split('\n')) {
            let found = found.trim();
            if !found.is_empty() && !found.starts_with('#') {
                let what = "is neither NAME=value nor a comment; it is ignored";
                self.odd.push((line, what));
            }
        }
    }

    fn variable(&mut self, text: &str, found: &Captures) {
        let Some(name) = found.get(1) else {
            return;
        };
        let written = found.get(2).map_or("", |value| value.as_str()).trim();
        let quote = written.chars().next().filter(|it| "'\"`".contains(*it));
        let within = quote.and_then(|quote| {
            let rest = written.strip_prefix(quote)?;
            rest.strip_suffix(quote)
        });
        if quote.is_some() && within.is_none() {
            let what = "begins its value with a quote that does not end it; the value is taken as \
                        it stands, quote included";
            self.odd.push((line_of(text, name.start()), what));
        }
        let mut value = within.unwrap_or(written).to_owned();
        if quote == Some('"') {
            value = value.replace("\\n", "\n").replace("\\r", "\r");
        }
        self.variables.push((name.as_str().to_owned(), value));
    }
}

/// The number of the line that this position is in.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_read_up_to_the_bound() {
        let error = read(Path::new("/dev/zero"), &mut Vec::new()).unwrap_err();
        assert!(
            format!("{error:#}").contains("larger than 4 MB"),
            "{error:#}"
        );
    }
}
