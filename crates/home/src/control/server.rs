//! The supervisor's side of the control socket.
//!
//! Each connection has a task of its own, which reads the request and writes the answer; what is
//! in between is the supervisor's, which is never waited for nor made to wait.

use std::io;
use std::os::unix::net::UnixListener as Listener;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::messages::Envelope;
use super::{LONGEST_LINE, Refusal, Reply, Request, is_trusted};

/// So many may be connected at once; others wait.
const CALLERS: usize = 32;

/// So many requests may wait for the supervisor.
const CALLS: usize = 32;

/// So many lines of an answer may wait to be read; more progress is dropped.
const REPLIES: usize = 256;

/// So much of that is for what is not progress.
const RESERVED: usize = 8;

/// Who does not say within this time what they want are sent away, and so is who does not read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Call {
    pub request: Request,
    pub answer: Answer,
}

/// Where an answer goes. When it is dropped the caller hears that nobody answers.
#[derive(Clone, Debug)]
pub struct Answer(mpsc::Sender<Reply>);

impl Answer {
    /// Adds a line. Never waits: a caller who does not read misses progress.
    pub fn send(&self, reply: Reply) {
        // There is always room for the last line.
        if matches!(reply, Reply::Progress(_)) && self.0.capacity() < RESERVED {
            return;
        }
        let _ = self.0.try_send(reply);
    }

    pub fn fail(&self, reason: impl Into<String>) {
        self.send(Reply::Failed(Refusal::new(reason)));
    }
}

/// So many sockets are served: one in the app's folder, and one in the runtime folder.
const SOCKETS: usize = 2;

/// The server's tasks.
#[derive(Debug)]
pub struct Server {
    sender: mpsc::Sender<Call>,
    calls: mpsc::Receiver<Call>,
    /// Ends the one that serves in the app's folder.
    in_app_folder: AbortHandle,
    /// Each writer holds one until it has written all.
    writers: Arc<Semaphore>,
}

impl Server {
    /// Starts to serve in the app's folder and in the runtime folder; within a tokio runtime.
    ///
    /// # Errors
    /// If a socket cannot be used.
    pub fn start(in_app_folder: Listener, in_runtime_folder: Listener) -> io::Result<Self> {
        let (sender, calls) = mpsc::channel(CALLS);
        let writers = Arc::new(Semaphore::new(CALLERS));
        let in_app_folder = listen(in_app_folder, &sender, &writers)?;
        listen(in_runtime_folder, &sender, &writers)?;
        Ok(Self {
            sender,
            calls,
            in_app_folder,
            writers,
        })
    }

    /// Serves at another socket in the app's folder.
    ///
    /// # Errors
    /// If the socket cannot be used.
    pub fn serve_anew(&mut self, in_app_folder: Listener) -> io::Result<()> {
        let new = listen(in_app_folder, &self.sender, &self.writers)?;
        std::mem::replace(&mut self.in_app_folder, new).abort();
        Ok(())
    }

    /// The next request.
    pub async fn next(&mut self) -> Option<Call> {
        self.calls.recv().await
    }

    /// Waits until all that has been said is written.
    pub async fn finish(self) {
        // What nobody takes up any more gets no answer: the callers see that we are gone.
        drop(self.calls);
        let count = u32::try_from(CALLERS - SOCKETS).unwrap_or(u32::MAX);
        // At each socket one place waits for the next caller.
        let all = self.writers.acquire_many(count);
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
    }
}

/// Serves at a socket, in a task of its own.
fn listen(
    socket: Listener,
    calls: &mpsc::Sender<Call>,
    writers: &Arc<Semaphore>,
) -> io::Result<AbortHandle> {
    socket.set_nonblocking(true)?;
    let socket = UnixListener::from_std(socket)?;
    let (calls, places) = (calls.clone(), writers.clone());
    let task = tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match socket.accept().await {
                Ok((caller, _)) if is_trusted(&caller) => {
                    let calls = calls.clone();
                    tokio::spawn(async move {
                        serve(caller, calls).await;
                        drop(place);
                    });
                }
                Ok(_) => {}
                // Without descriptors no caller can be accepted; callers wait.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(task.abort_handle())
}

async fn serve(caller: UnixStream, calls: mpsc::Sender<Call>) {
    let mut caller = BufReader::new(caller);
    let mut line = Vec::new();
    let mut bounded = (&mut caller).take(LONGEST_LINE);
    let read = bounded.read_until(b'\n', &mut line);
    if !matches!(tokio::time::timeout(PATIENCE, read).await, Ok(Ok(length)) if length > 0) {
        return;
    }
    let (sender, mut replies) = mpsc::channel(REPLIES);
    let answer = Answer(sender);
    match serde_json::from_slice::<Envelope>(&line) {
        Ok(Envelope { request, .. }) => {
            if calls.send(Call { request, answer }).await.is_err() {
                return;
            }
        }
        Err(_) => {
            answer.send(Reply::Failed(Refusal::unknown()));
            drop(answer);
        }
    }
    drop(line);
    while let Some(reply) = replies.recv().await {
        let Ok(mut text) = serde_json::to_vec(&reply) else {
            return;
        };
        text.push(b'\n');
        let write = caller.write_all(&text);
        if !matches!(tokio::time::timeout(PATIENCE, write).await, Ok(Ok(()))) {
            return;
        }
    }
}
