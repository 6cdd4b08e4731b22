//! What the user sees: the workers' lines and maitred's own sentences.
//!
//! Each stream has a thread that writes to it, so that a terminal which is stopped, or a pipe
//! that nobody reads, holds up the workers that write, as it would without us, but never the
//! supervisor.

mod lines;
mod sentences;
mod stream;

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;

use crate::config::App;
use crate::events::{Event, EventFile};
use lines::Lines;
pub(crate) use sentences::Sentences;
use stream::{Chunks, Stream};

/// What is read from a worker at once.
const READ: usize = 64 * 1024;

/// At the end, what the workers have written last is waited for so long: a process that they
/// detached may hold their output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Everything that is shown or noted.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    out: Stream,
    err: Stream,
    sentences: Sentences,
    events: Option<EventFile>,
    captures: JoinSet<()>,
}

impl Output {
    /// Starts the threads that write.
    ///
    /// # Errors
    /// If the system refuses threads.
    pub(crate) fn new(app: &App, events: Option<EventFile>) -> anyhow::Result<Self> {
        let out = Stream::new("stdout", std::io::stdout()).context("writing to stdout")?;
        let err = Stream::new("stderr", std::io::stderr()).context("writing to stderr")?;
        Ok(Self {
            name: app.name.clone(),
            sentences: Sentences::new(app, err.colours()),
            out,
            err,
            events,
            captures: JoinSet::new(),
        })
    }

    /// Notes what has happened, and tells the user if it is worth a sentence.
    pub(crate) fn event(&mut self, event: &Event) {
        if let Some(events) = &mut self.events {
            events.write(event);
        }
        if let Some(sentence) = self.sentences.of(event) {
            self.err.say(sentence);
        }
    }

    /// Shows what an instance writes, line by line, until it ends.
    pub(crate) fn capture(&mut self, instance: u32, out: OwnedFd, err: OwnedFd) {
        for (pipe, stream) in [(out, &self.out), (err, &self.err)] {
            let prefix = sentences::prefix(&self.name, instance, stream.colours());
            let copy = copy_lines(pipe, Lines::new(prefix), stream.chunks());
            self.captures.spawn(copy);
        }
        // Those that have ended need not be remembered.
        while self.captures.try_join_next().is_some() {}
    }

    /// Waits until everything is written.
    pub(crate) async fn finish(&mut self) {
        let last_words = async { while self.captures.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
        self.captures.abort_all();
        self.out.finish();
        self.err.finish();
    }
}

/// Copies whole lines from a worker's pipe to a stream.
async fn copy_lines(pipe: OwnedFd, mut lines: Lines, chunks: Chunks) {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(pipe) else {
        return;
    };
    let mut bytes = vec![0; READ];
    loop {
        let read = match pipe.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.get(..read).unwrap_or(&[]),
        };
        if let Some(chunk) = lines.push(read) {
            chunks.send(chunk).await;
        }
    }
    if let Some(chunk) = lines.end() {
        chunks.send(chunk).await;
    }
}
