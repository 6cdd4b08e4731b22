//! Commands of an app that run once before something is done with it: `before_start` and
//! `before_reload`. They run here, in the command that does it, with the app's rights, environment and
//! folder.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};

use config::{App, signal_name};
use sys::ChildSetup;

/// So many lines of what it has written are shown when it fails.
const LINES: usize = 10;

/// No line is shown longer, in bytes.
const LONGEST: u64 = 1000;

/// What it leaves in the background may write on; its lines are not waited for longer.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Before the app's first instance starts.
///
/// # Errors
/// If there is such a command, and it fails; with its last lines.
pub(crate) fn before_start(app: &App) -> anyhow::Result<()> {
    run(app, "before_start", app.before_start.as_deref())
}

/// Before its instances are reloaded.
///
/// # Errors
/// As for [`before_start`].
pub(super) fn before_reload(app: &App) -> anyhow::Result<()> {
    run(app, "before_reload", app.before_reload.as_deref())
}

fn run(app: &App, hook: &str, line: Option<&str>) -> anyhow::Result<()> {
    let Some(line) = line else {
        return Ok(());
    };
    let (output, theirs) = std::io::pipe().context("making a pipe")?;
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .current_dir(&app.cwd)
        .env_clear()
        .envs(&app.env)
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().context("sharing a pipe")?)
        .stderr(theirs);
    sys::set_up_child(
        &mut command,
        ChildSetup {
            control_group: None,
            descriptors: None,
            // Ctrl-C is for it, too.
            own_group: false,
            identity: app.identity.as_ref().map(sys::Identity::from),
            tied_to: None,
        },
    );
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {hook}"))?;
    // With it goes our copy of the pipe's end.
    drop(command);
    let last = Arc::new(Mutex::new(VecDeque::new()));
    let (over, ends) = channel::<()>();
    let kept = last.clone();
    std::thread::Builder::new()
        .name("hook".into())
        .spawn(move || {
            keep_last_lines(output, &kept);
            drop(over);
        })
        .context("starting a thread that reads what it writes")?;
    let status = child.wait();
    let status = status.with_context(|| format!("waiting for {hook}"))?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("has exited with code {code}"),
        (None, signal) => format!("was killed by {}", signal_name(signal.unwrap_or(0))),
    };
    // The other end is dropped when all has been read.
    let _ = ends.recv_timeout(LAST_WORDS);
    let last = last.lock().unwrap_or_else(PoisonError::into_inner);
    let last: String = last.iter().map(|line| format!("\n  {line}")).collect();
    bail!("{hook} {how}{last}")
}

/// Reads to the end, and keeps the last lines as they can be shown.
fn keep_last_lines(output: impl Read, last: &Mutex<VecDeque<String>>) {
    let mut output = BufReader::new(output);
    loop {
        let mut line = Vec::new();
        // What is longer comes as several lines.
        let read = output.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            return;
        }
        let text = String::from_utf8_lossy(&line);
        let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let text: String = text.trim_end().chars().map(shown).collect();
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LINES {
            last.pop_front();
        }
        last.push_back(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_and_do_nothing_to_a_terminal() {
        let last = |text: &[u8]| -> Vec<String> {
            let last = Mutex::new(VecDeque::new());
            keep_last_lines(text, &last);
            last.into_inner().unwrap().into()
        };
        assert_eq!(last(b""), [""; 0]);
        assert_eq!(last(b"a\r\n\x1b[2Jb\xff"), ["a", "\u{fffd}[2Jb\u{fffd}"]);
        let many: String = (0..100).map(|it| format!("{it}\n")).collect();
        let expected: Vec<_> = (90..100).map(|it| it.to_string()).collect();
        assert_eq!(last(many.as_bytes()), expected);
        let flood = vec![b'x'; 1 << 20];
        let longest = last(&flood).iter().map(String::len).max();
        assert_eq!(longest, Some(1000));
    }
}
