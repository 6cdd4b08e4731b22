//! What an app writes, followed as `maitred logs` follows it.

use std::io::{self, ErrorKind, PipeWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::super::app_logs::AppLogs;
use super::super::logs::view::{self, Form, Request, View};
use home::{AppFolder, Home};

/// So many lines may wait to be shown; then reading the log waits, and not the app.
const WAITING: usize = 256;

/// No more of a line is kept, in bytes: no terminal is so wide.
const LONGEST: usize = 4096;

/// The same of an object, which is none any more if it is cut.
const LONGEST_OBJECT: usize = 16 * 1024;

/// The log of an app.
pub(in crate::cli) struct AppLog {
    folder: AppFolder,
    lines: Receiver<String>,
    /// Closed with this, which ends the thread.
    _ends: PipeWriter,
}

impl AppLog {
    /// Begins to follow it, with so many lines of each log that were written before.
    ///
    /// # Errors
    /// If the system refuses a pipe or a thread.
    pub(in crate::cli) fn follow(
        home: Home,
        folder: AppFolder,
        form: Form,
        before: usize,
    ) -> io::Result<Self> {
        let (over, ends) = io::pipe()?;
        let (sender, lines) = sync_channel(WAITING);
        let mut catalog = AppLogs::of_one(home, folder.clone());
        let request = Request {
            follow: true,
            until: Some(Arc::new(over.into())),
            ..last(form, before)
        };
        let follow = move || {
            let longest = match form {
                Form::Json => LONGEST_OBJECT,
                _ => LONGEST,
            };
            let lines = |sender| Lines {
                sender,
                begun: Vec::new(),
                longest,
            };
            let (mut out, mut err) = (lines(sender.clone()), lines(sender.clone()));
            if let Err(error) = view::show(&mut catalog, &request, &mut out, &mut err) {
                let _ = sender.send(format!("maitred: {error:#}"));
            }
        };
        std::thread::Builder::new()
            .name("log".into())
            .spawn(follow)?;
        Ok(Self {
            folder,
            lines,
            _ends: ends,
        })
    }

    pub(in crate::cli) fn folder(&self) -> &AppFolder {
        &self.folder
    }

    /// The lines that have come since, so many at the most.
    pub(in crate::cli) fn new_lines(&self, most: usize) -> impl Iterator<Item = String> {
        self.lines.try_iter().take(most)
    }
}

/// The last lines of an app's logs, so many of each.
///
/// # Errors
/// If a log cannot be read.
pub(in crate::cli) fn last_lines(
    home: Home,
    folder: AppFolder,
    form: Form,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let mut catalog = AppLogs::of_one(home, folder);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    view::show(&mut catalog, &last(form, count), &mut out, &mut err)?;
    out.append(&mut err);
    let text = String::from_utf8_lossy(&out);
    Ok(text.lines().map(str::to_owned).collect())
}

/// Asks for the last lines of logs.
fn last(form: Form, lines: usize) -> Request {
    Request {
        lines,
        only: None,
        follow: false,
        on_stdout: false,
        until: None,
        target: String::new(),
        view: View {
            form,
            headers: false,
            timestamp: None,
            highlight: None,
            // What acts on a terminal is text there.
            terminal: true,
            colours: false,
        },
    }
}

/// Passes on whole lines.
struct Lines {
    sender: SyncSender<String>,
    begun: Vec<u8>,
    longest: usize,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            let room = self.longest.saturating_sub(self.begun.len());
            let kept = text.unwrap_or(piece);
            self.begun
                .extend_from_slice(kept.get(..room).unwrap_or(kept));
            if text.is_some() {
                let line = String::from_utf8_lossy(&self.begun).into_owned();
                self.begun.clear();
                let sent = self.sender.send(line);
                sent.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_not_too_long() {
        let (sender, received) = sync_channel(WAITING);
        let begun = Vec::new();
        let mut lines = Lines {
            sender,
            begun,
            longest: LONGEST,
        };
        lines.write_all(b"a").unwrap();
        lines.write_all(b"b\nc\n\n").unwrap();
        lines.write_all(&vec![b'x'; 10_000]).unwrap();
        lines.write_all(b"y\nz").unwrap();
        let text: Vec<_> = received.try_iter().collect();
        assert_eq!(text[..3], ["ab", "c", ""]);
        assert_eq!(text[3], "x".repeat(LONGEST));
        assert_eq!(text.len(), 4);
        drop(received);
        let error = lines.write_all(b"\n").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
