//! The supervisor's side of the control socket.
//!
//! Each connection has a task of its own, which reads the request and writes the answer; what is
//! in between is the supervisor's, which is never waited for nor made to wait.

use std::io;
use std::os::unix::net::UnixListener as Listener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use super::messages::Envelope;
use super::{Happened, LONGEST_LINE, Refusal, Reply, Request, is_trusted};

/// So many may be connected at once; others wait.
const CALLERS: usize = 32;

/// So many more may follow what happens; others are refused.
const FOLLOWERS: usize = 16;

/// Followers who do not read are not waited for at the end: this is for those who do.
const LAST_EVENTS: Duration = Duration::from_millis(100);

/// So many requests may wait for the supervisor.
const CALLS: usize = 32;

/// So many lines of an answer may wait to be read; more progress is dropped.
const REPLIES: usize = 256;

/// So much of that is for what is not progress.
const RESERVED: usize = 8;

/// Who does not say within this time what they want are sent away, and so is who does not read.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a follower hears who is one too many.
const TOO_MANY: &str = "as many as may follow its events do already; end one of them";

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Call {
    pub request: Request,
    pub answer: Answer,
}

/// Where an answer goes. When it is dropped the caller hears that nobody answers.
#[derive(Clone, Debug)]
pub struct Answer {
    replies: mpsc::Sender<Reply>,
    /// How many events were lost, and have not been told of yet.
    missed: Arc<AtomicU64>,
}

impl Answer {
    /// An answer that stays in this process, and where it is heard.
    pub fn pair() -> (Self, Outcome) {
        let (sender, replies) = mpsc::channel(REPLIES);
        let answer = Self {
            replies: sender,
            missed: Arc::default(),
        };
        (answer, Outcome(replies))
    }

    /// Adds a line. Never waits: a caller who does not read misses progress.
    pub fn send(&self, reply: Reply) {
        // There is always room for the last line.
        if matches!(reply, Reply::Progress(_)) && self.replies.capacity() < RESERVED {
            return;
        }
        let _ = self.replies.try_send(reply);
    }

    /// Tells a follower of an event. Never waits: one who does not read hears later how many it has
    /// missed.
    pub fn tell(&self, happened: Happened) {
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if self.replies.capacity() < 1 + usize::from(missed > 0) {
            self.missed.fetch_add(missed + 1, Ordering::Relaxed);
            return;
        }
        if missed > 0 {
            // Where they are missing.
            let _ = self.replies.try_send(Reply::Missed(missed));
        }
        let _ = self.replies.try_send(Reply::Happened(happened));
    }

    /// Whether nobody hears it any more.
    pub fn is_closed(&self) -> bool {
        self.replies.is_closed()
    }

    pub fn fail(&self, reason: impl Into<String>) {
        self.send(Reply::Failed(Refusal::new(reason)));
    }
}

/// What comes of something that this process has asked itself for.
#[derive(Debug)]
pub struct Outcome(mpsc::Receiver<Reply>);

impl Outcome {
    /// Waits for the end of it, outside of tokio; whether it is a good one.
    pub fn wait(mut self) -> bool {
        loop {
            match self.0.blocking_recv() {
                Some(Reply::Progress(_) | Reply::Happened(_) | Reply::Missed(_)) => {}
                Some(Reply::Done(_)) => return true,
                Some(Reply::Metrics(_) | Reply::Failed(_)) | None => return false,
            }
        }
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
    places: Places,
}

/// Each who is answered holds one until all is written.
#[derive(Clone, Debug)]
struct Places {
    callers: Arc<Semaphore>,
    followers: Arc<Semaphore>,
}

impl Server {
    /// Starts to serve in the app's folder and in the runtime folder; within a tokio runtime.
    ///
    /// # Errors
    /// If a socket cannot be used.
    pub fn start(in_app_folder: Listener, in_runtime_folder: Listener) -> io::Result<Self> {
        let (sender, calls) = mpsc::channel(CALLS);
        let places = Places {
            callers: Arc::new(Semaphore::new(CALLERS)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
        };
        let in_app_folder = listen(in_app_folder, &sender, &places)?;
        listen(in_runtime_folder, &sender, &places)?;
        Ok(Self {
            sender,
            calls,
            in_app_folder,
            places,
        })
    }

    /// Serves at another socket in the app's folder.
    ///
    /// # Errors
    /// If the socket cannot be used.
    pub fn serve_anew(&mut self, in_app_folder: Listener) -> io::Result<()> {
        let new = listen(in_app_folder, &self.sender, &self.places)?;
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
        let all = self.places.callers.acquire_many(count);
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
        let count = u32::try_from(FOLLOWERS).unwrap_or(u32::MAX);
        let all = self.places.followers.acquire_many(count);
        let _ = tokio::time::timeout(LAST_EVENTS, all).await;
    }
}

/// Serves at a socket, in a task of its own.
fn listen(
    socket: Listener,
    calls: &mpsc::Sender<Call>,
    places: &Places,
) -> io::Result<AbortHandle> {
    socket.set_nonblocking(true)?;
    let socket = UnixListener::from_std(socket)?;
    let (calls, places) = (calls.clone(), places.clone());
    let task = tokio::spawn(async move {
        loop {
            let Ok(place) = places.callers.clone().acquire_owned().await else {
                return;
            };
            match socket.accept().await {
                Ok((caller, _)) if is_trusted(&caller) => {
                    let followers = places.followers.clone();
                    tokio::spawn(serve(caller, calls.clone(), place, followers));
                }
                Ok(_) => {}
                // Without descriptors no caller can be accepted; callers wait.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(task.abort_handle())
}

async fn serve(
    caller: UnixStream,
    calls: mpsc::Sender<Call>,
    mut place: OwnedSemaphorePermit,
    followers: Arc<Semaphore>,
) {
    let mut caller = BufReader::new(caller);
    let mut line = Vec::new();
    let mut bounded = (&mut caller).take(LONGEST_LINE);
    let read = bounded.read_until(b'\n', &mut line);
    if !matches!(tokio::time::timeout(PATIENCE, read).await, Ok(Ok(length)) if length > 0) {
        return;
    }
    let (sender, mut replies) = mpsc::channel(REPLIES);
    let missed = Arc::new(AtomicU64::new(0));
    let answer = Answer {
        replies: sender,
        missed: missed.clone(),
    };
    let parsed = serde_json::from_slice::<Envelope>(&line).map(|it| it.request);
    drop(line);
    let follows = matches!(parsed, Ok(Request::Events { .. }));
    let own = follows.then(|| followers.try_acquire_owned());
    match (parsed, own) {
        (Err(_), _) => refuse(answer, Refusal::unknown()),
        (Ok(_), Some(Err(_))) => refuse(answer, Refusal::new(TOO_MANY)),
        (Ok(request), own) => {
            if let Some(Ok(own)) = own {
                place = own;
            }
            if calls.send(Call { request, answer }).await.is_err() {
                return;
            }
        }
    }
    if follows {
        pass_on(&mut caller, &mut replies, &missed).await;
        drop(place);
        return;
    }
    while let Some(reply) = replies.recv().await {
        let write = write(&mut caller, &reply);
        if !matches!(tokio::time::timeout(PATIENCE, write).await, Ok(Ok(()))) {
            break;
        }
    }
    drop(place);
}

/// The only line of an answer.
fn refuse(answer: Answer, refusal: Refusal) {
    answer.send(Reply::Failed(refusal));
}

/// Writes events for one who follows them, until either side ends it.
async fn pass_on(
    caller: &mut BufReader<UnixStream>,
    replies: &mut mpsc::Receiver<Reply>,
    missed: &AtomicU64,
) {
    loop {
        let reply = tokio::select! {
            reply = replies.recv() => reply,
            // A follower says nothing more: it has gone.
            _ = caller.fill_buf() => return,
        };
        let Some(reply) = reply else {
            return;
        };
        if write(caller, &reply).await.is_err() {
            return;
        }
        if replies.is_empty() {
            let missed = missed.swap(0, Ordering::Relaxed);
            if missed > 0 && write(caller, &Reply::Missed(missed)).await.is_err() {
                return;
            }
        }
    }
}

async fn write(caller: &mut BufReader<UnixStream>, reply: &Reply) -> io::Result<()> {
    let mut text = serde_json::to_vec(reply)?;
    text.push(b'\n');
    caller.write_all(&text).await
}

#[cfg(test)]
mod tests;
