//! The workers' lines on our own standard output and error, each with the instance's name.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use super::lines::Lines;
use super::stream::{Chunks, Stream};
use super::{Worker, sentences};

/// What is read from a worker at once.
const READ: usize = 64 * 1024;

/// At the end, what the workers have written last is waited for so long: a process that they
/// detached may hold their output open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where it is told what was found in lines.
type Notices = Sender<logs::Notice>;

/// Where workers' lines are shown.
#[derive(Debug)]
pub(super) struct Screen {
    name: String,
    out: Stream,
    volume: Arc<logs::Volume>,
    captures: JoinSet<()>,
}

impl Screen {
    pub(super) fn new(name: &str, volume: Arc<logs::Volume>, shared: bool) -> io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            out: Stream::new("stdout", io::stdout(), shared)?,
            volume,
            captures: JoinSet::new(),
        })
    }

    /// Shows what an instance writes, line by line, until it ends.
    pub(super) fn capture(&mut self, worker: Worker, errors: &Stream, notices: &Notices) {
        let instance = worker.instance;
        let prefix = |colours| Lines::new(sentences::prefix(&self.name, instance, colours));
        let out = copy_lines(
            worker.out,
            prefix(self.out.colours()),
            self.out.chunks(),
            (Arc::clone(&self.volume), logs::Stream::Out),
            |_| {},
        );
        let notices = notices.clone();
        let err = copy_lines(
            worker.err,
            prefix(errors.colours()),
            errors.chunks(),
            (Arc::clone(&self.volume), logs::Stream::Err),
            move |lines| {
                if logs::tells_of_rejection(lines) {
                    let _ = notices.try_send(logs::Notice::Rejection { instance });
                }
            },
        );
        self.captures.spawn(out);
        self.captures.spawn(err);
        // Those that have ended need not be remembered.
        while self.captures.try_join_next().is_some() {}
    }

    /// Waits until everything is written.
    pub(super) async fn finish(&mut self) {
        let last_words = async { while self.captures.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
        self.captures.abort_all();
        self.out.finish();
    }
}

/// Copies whole lines from a worker's pipe to a stream; each is counted and looked at on the way.
async fn copy_lines(
    pipe: OwnedFd,
    mut lines: Lines,
    chunks: Chunks,
    (volume, stream): (Arc<logs::Volume>, logs::Stream),
    look: impl Fn(&[u8]),
) {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(pipe) else {
        return;
    };
    let mut bytes = vec![0; READ];
    loop {
        let read = match pipe.read(&mut bytes).await {
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.get(..read).unwrap_or(&[]),
        };
        volume.add(stream, read.len());
        if let Some(chunk) = lines.push(read) {
            look(&chunk);
            chunks.send(chunk).await;
        }
    }
    if let Some(chunk) = lines.end() {
        chunks.send(chunk).await;
    }
}
