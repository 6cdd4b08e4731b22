//! Node's IPC channel, which Bun speaks too: `process.send` and `process.on('message')` in a
//! worker.
//!
//! One end of a socket pair is the worker's descriptor 3, and `NODE_CHANNEL_FD` says so; over it
//! go messages as JSON, one a line
//! (<https://nodejs.org/api/child_process.html#child_processsendmessage-sendhandle-options-callback>).
//! A worker says `"ready"`, and is told `"shutdown"`, as with pm2; whatever else it sends is read
//! and dropped, so that it can go on. What it sends is untrusted: nothing of it is kept, and who
//! sends very much is read slowly.
//!
//! For the supervisor: [`Channel::open`] before a process is started; [`WorkersEnd::give`] to its
//! command, for each runtime that knows such channels and whenever the user wants `wait_ready` or
//! `shutdown_with_message`; then the [`Channel`] is kept beside the process. "Ready" arrives over
//! a queue with the tag given to `open` (instance and run, say). To stop it,
//! [`Channel::shut_down`]; if that fails, a signal must do. Dropping the channel closes it, which
//! the worker hears as `disconnect`: do so only when the process has ended.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The variables by which a runtime finds its end.
const DESCRIPTOR_VAR: &str = "NODE_CHANNEL_FD";
const MODE_VAR: &str = "NODE_CHANNEL_SERIALIZATION_MODE";

/// What `process.send('ready')` writes.
const READY: &[u8] = b"\"ready\"";

/// What arrives at `process.on('message')` as `'shutdown'`.
const SHUTDOWN: &[u8] = b"\"shutdown\"\n";

/// What is read at once.
const READ: usize = 16 * 1024;

/// The pause after each full buffer: at most 1.6 MB in a second.
const PAUSE: Duration = Duration::from_millis(10);

/// Our end of a worker's channel.
#[derive(Debug)]
pub struct Channel {
    stream: Arc<UnixStream>,
    reader: AbortHandle,
}

/// The worker's end, until it is given to its command.
#[derive(Debug)]
pub struct WorkersEnd(OwnedFd);

impl Channel {
    /// Makes a channel. When the worker says that it is ready, `tag` is sent to `ready`, once.
    /// Needs tokio's reactor.
    ///
    /// # Errors
    /// If the system refuses sockets.
    pub fn open<T: Send + 'static>(
        tag: T,
        ready: mpsc::Sender<T>,
    ) -> io::Result<(Self, WorkersEnd)> {
        let (ours, theirs) = StdStream::pair()?;
        ours.set_nonblocking(true)?;
        // Node can send handles: here they would be closed by the thread that must not wait.
        sys::refuse_descriptors(ours.as_fd());
        Ok((
            Self::adopt(ours.into(), tag, ready)?,
            WorkersEnd(theirs.into()),
        ))
    }

    /// The channel of a worker that another process has started.
    ///
    /// # Errors
    /// If the reactor cannot watch it.
    pub fn adopt<T: Send + 'static>(
        ours: OwnedFd,
        tag: T,
        ready: mpsc::Sender<T>,
    ) -> io::Result<Self> {
        let stream = Arc::new(UnixStream::from_std(ours.into())?);
        let reader = tokio::spawn(read(Arc::clone(&stream), tag, ready)).abort_handle();
        Ok(Self { stream, reader })
    }

    /// Asks the worker to end, as `shutdown_with_message` wants it.
    ///
    /// # Errors
    /// If the worker has closed the channel, or does not read.
    pub fn shut_down(&self) -> io::Result<()> {
        match self.stream.try_write(SHUTDOWN)? {
            written if written == SHUTDOWN.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Channel {
    /// Keeps a channel from the command's process that this process was given by its own parent.
    pub fn withhold(command: &mut Command) {
        command.env_remove(DESCRIPTOR_VAR).env_remove(MODE_VAR);
    }
}

impl WorkersEnd {
    /// Gives it to the command's process, and to no other. The command must be dropped once it has started its process.
    pub fn give(self, command: &mut Command, place: &sys::ChannelPlace) {
        command
            .env(DESCRIPTOR_VAR, sys::CHANNEL.to_string())
            .env(MODE_VAR, "json");
        place.give(command, self.0);
    }
}

async fn read<T>(stream: Arc<UnixStream>, tag: T, ready: mpsc::Sender<T>) {
    let mut waiting = Some(tag);
    let mut lines = Lines::default();
    let mut bytes = vec![0; READ];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        let read = match stream.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return,
        };
        if lines.push(bytes.get(..read).unwrap_or(&[]))
            && let Some(tag) = waiting.take()
            && ready.send(tag).await.is_err()
        {
            return;
        }
        if read == READ {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Looks for the one message that matters, and keeps no more of a line than that has.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// The line is too long to be the message.
    other: bool,
}

impl Lines {
    /// Whether "ready" was said in what was read.
    fn push(&mut self, mut read: &[u8]) -> bool {
        let mut ready = false;
        loop {
            let end = memchr(b'\n', read);
            let (part, rest) = read.split_at(end.unwrap_or(read.len()));
            if self.line.len() + part.len() <= READY.len() {
                self.line.extend_from_slice(part);
            } else {
                self.other = true;
            }
            if end.is_none() {
                return ready;
            }
            ready |= !self.other && self.line == READY;
            self.line.clear();
            self.other = false;
            read = rest.get(1..).unwrap_or(&[]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::{Child, Stdio};

    use super::*;

    #[test]
    fn only_the_whole_message_counts() {
        for (pieces, expected) in [
            (&["\"ready\"\n"][..], true),
            (&["\"re", "ady\"", "\n"], true),
            (&["{\"a\":1}\n\"ready\"\n"], true),
            (&["x\"ready\"\n"], false),
            (&["\"ready\"x\n"], false),
            (&["\"ready\""], false),
            (&["{\"m\":\"", "\"ready\"\n"], false),
            (&["\n\n", "\"ready\"", "\nmore"], true),
        ] {
            let mut lines = Lines::default();
            let mut said = false;
            for piece in pieces {
                said |= lines.push(piece.as_bytes());
                assert!(lines.line.len() <= READY.len());
            }
            assert_eq!(said, expected, "{pieces:?}");
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Worker(Child);

    impl Drop for Worker {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// The runtimes that there are here.
    fn runtimes() -> Vec<PathBuf> {
        let tools = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/tools/node_modules/.bin"
        );
        let bun = PathBuf::from(tools).join("bun");
        assert!(bun.exists(), "scripts/setup-npm.sh tests/tools bun");
        vec!["node".into(), bun]
    }

    fn with_worker(
        script: &str,
        test: impl AsyncFn(&mut Worker, &Channel, &mut mpsc::Receiver<u8>),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.cjs");
        std::fs::write(&path, script).unwrap();
        let place = sys::ChannelPlace::hold().unwrap();
        for runtime in runtimes() {
            let executor = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            executor.block_on(async {
                let (sender, mut ready) = mpsc::channel(4);
                let (channel, end) = Channel::open(7, sender).unwrap();
                let mut command = Command::new(&runtime);
                command.arg(&path).stdin(Stdio::null());
                end.give(&mut command, &place);
                let mut worker = Worker(command.spawn().unwrap());
                drop(command);
                let run = test(&mut worker, &channel, &mut ready);
                tokio::time::timeout(PATIENCE, run).await.unwrap();
            });
        }
    }

    #[test]
    fn a_worker_says_ready_and_hears_shutdown() {
        let script = "
            process.on('message', (m) => { if (m === 'shutdown') process.exit(42) });
            process.send({ type: 'process:msg', data: 'x'.repeat(100000) });
            process.send('ready');
        ";
        with_worker(script, async |worker, channel, ready| {
            assert_eq!(ready.recv().await, Some(7));
            channel.shut_down().unwrap();
            assert_eq!(worker.0.wait().unwrap().code(), Some(42));
            // Its end was closed with it: nobody else has it.
            assert_eq!(ready.recv().await, None);
            assert!(channel.shut_down().is_err());
        });
    }

    #[test]
    fn children_of_a_worker_do_not_get_the_channel() {
        let script = "
            const { spawnSync } = require('child_process');
            const look = 'test -e /proc/self/fd/3 && echo \"$NODE_CHANNEL_FD\" yes || echo no';
            const child = spawnSync('sh', ['-c', look], { stdio: ['ignore', 'pipe', 'inherit'] });
            process.exitCode = child.stdout.toString() === 'no\\n' ? 0 : 1;
            process.send('ready', () => process.exit());
        ";
        with_worker(script, async |worker, _, ready| {
            assert_eq!(ready.recv().await, Some(7));
            assert_eq!(worker.0.wait().unwrap().code(), Some(0));
        });
    }

    #[test]
    fn a_flood_does_not_hide_the_message() {
        let executor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        executor.block_on(async {
            let (sender, mut ready) = mpsc::channel(1);
            let (_channel, end) = Channel::open((), sender).unwrap();
            let near = StdStream::from(end.0);
            near.set_nonblocking(true).unwrap();
            let near = UnixStream::from_std(near).unwrap();
            let flood = [b'x'; 4096];
            let mut sent = 0;
            while sent < 128 * 1024 {
                near.writable().await.unwrap();
                sent += near.try_write(&flood).unwrap_or(0);
            }
            let mut rest = &b"\n\"ready\"\n"[..];
            while !rest.is_empty() {
                near.writable().await.unwrap();
                let written = near.try_write(rest).unwrap_or(0);
                rest = &rest[written..];
            }
            ready.recv().await.unwrap();
        });
    }

    #[test]
    fn a_program_that_cannot_be_executed_is_told_of() {
        let executor = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let place = sys::ChannelPlace::hold().unwrap();
        executor.block_on(async {
            let (sender, mut ready) = mpsc::channel(1);
            let (_channel, end) = Channel::open((), sender).unwrap();
            let mut command = Command::new("/no/such/program");
            end.give(&mut command, &place);
            let error = command.spawn().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            drop(command);
            assert_eq!(ready.recv().await, None);
        });
    }
}
