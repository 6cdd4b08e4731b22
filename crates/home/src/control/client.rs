//! The command line's side of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::messages::Envelope;
use super::{LONGEST_LINE, Refusal, Reply, Request, Snapshot, is_trusted};
use process::tree;
use telemetry::events::Event;
use telemetry::metrics::AppMetrics;

/// A supervisor that says nothing for so long hangs: it answers within milliseconds, and during
/// what takes longer it is asked to be patient with [`Connection::wait_for`].
const PATIENCE: Duration = Duration::from_secs(5);

/// One that is stopped is waited for only so long: a debugger that attaches stops it for a moment.
const SUSPENDED: Duration = Duration::from_millis(500);

/// How often is looked whether it goes on.
const LOOKS: u32 = 10;

/// A request that is on its way.
#[derive(Debug)]
pub struct Connection {
    replies: BufReader<UnixStream>,
}

/// Why there is no good answer.
#[derive(Debug)]
pub enum Fault {
    /// The supervisor has ended before it answered.
    Gone,
    /// It did not answer in time.
    Hangs,
    /// The process with this number is stopped, by SIGSTOP or a debugger, and cannot answer.
    Suspended(i32),
    /// It is about to end; what takes its place can be asked.
    Leaving(Refusal),
    /// It refused.
    Refused(Refusal),
    /// It cannot be talked to.
    Broken(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone => write!(to, "its supervisor has ended"),
            Self::Hangs => write!(
                to,
                "its supervisor does not answer; `maitred kill` and `maitred resurrect` replace \
                 all supervisors"
            ),
            Self::Suspended(pid) => write!(
                to,
                "its supervisor is stopped, as by SIGSTOP or a debugger; `kill -CONT {pid}` lets it \
                 go on"
            ),
            Self::Refused(refusal) if refusal.unknown => write!(
                to,
                "its supervisor is maitred {}, this is {}, and does not know this request; \
                 `maitred stop` and `maitred start` replace it",
                refusal.version,
                env!("CARGO_PKG_VERSION")
            ),
            Self::Leaving(refusal) | Self::Refused(refusal) => write!(to, "{}", refusal.reason),
            Self::Broken(reason) => write!(to, "its supervisor cannot be asked: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Hangs,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Gone,
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// Whether the process that listened at the other end has ended. Its guard has the socket open, too, and starts another
/// supervisor.
fn has_ended(socket: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(socket).is_ok_and(|peer| tree::has_ended(peer.pid))
}

/// Why nothing is said at the other end.
fn silence(socket: &UnixStream) -> Fault {
    match suspended_peer(socket) {
        // One that was being stopped when it was asked was not seen to be.
        Some(pid) => Fault::Suspended(pid),
        None if has_ended(socket) => Fault::Gone,
        None => Fault::Hangs,
    }
}

/// The process at the other end, if it is stopped and stays so.
fn suspended_peer(socket: &UnixStream) -> Option<i32> {
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    let look = Timespec::try_from(SUSPENDED / LOOKS).ok()?;
    for _ in 0..LOOKS {
        if !tree::is_suspended(peer.pid) {
            return None;
        }
        let mut answer = [PollFd::new(socket, PollFlags::IN)];
        // A signal that interrupts this shortens one look.
        if poll(&mut answer, Some(&look)).is_ok_and(|ready| ready > 0) {
            return None;
        }
    }
    Some(peer.pid.as_raw_nonzero().get())
}

impl Connection {
    /// Makes a request.
    ///
    /// # Errors
    /// If the other side is another user's process, or does not listen.
    pub fn ask(socket: UnixStream, request: Request) -> Result<Self, Fault> {
        if !is_trusted(&socket) {
            return Err(Fault::Broken("it is another user's process".to_owned()));
        }
        if has_ended(&socket) {
            return Err(Fault::Gone);
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(&Envelope::new(request))
            .map_err(|error| Fault::Broken(error.to_string()))?;
        line.push(b'\n');
        (&socket).write_all(&line)?;
        if let Some(pid) = suspended_peer(&socket) {
            return Err(Fault::Suspended(pid));
        }
        Ok(Self {
            replies: BufReader::new(socket),
        })
    }

    /// Lets the supervisor be silent for so long, beyond the usual.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn wait_for(self, time: Duration) -> Result<Self, Fault> {
        let patience = PATIENCE.saturating_add(time);
        self.replies.get_ref().set_read_timeout(Some(patience))?;
        Ok(self)
    }

    /// Waits for the end of it; what happens until then is told.
    ///
    /// # Errors
    /// If it is not done.
    pub fn finish(mut self, mut progress: impl FnMut(Event)) -> Result<Snapshot, Fault> {
        loop {
            match self.next()? {
                Some(Reply::Progress(event)) => progress(event),
                Some(Reply::Done(snapshot)) => return Ok(*snapshot),
                Some(Reply::Failed(refusal)) if refusal.leaving => {
                    return Err(Fault::Leaving(refusal));
                }
                Some(Reply::Failed(refusal)) => return Err(Fault::Refused(refusal)),
                Some(Reply::Metrics(_) | Reply::Happened(_) | Reply::Missed(_)) => {
                    return Err(unexpected());
                }
                None => {}
            }
        }
    }

    /// Waits for what is measured.
    ///
    /// # Errors
    /// If there is no such answer.
    pub fn metrics(mut self) -> Result<AppMetrics, Fault> {
        loop {
            match self.next()? {
                Some(Reply::Metrics(metrics)) => return Ok(*metrics),
                Some(Reply::Failed(refusal)) if refusal.leaving => {
                    return Err(Fault::Leaving(refusal));
                }
                Some(Reply::Failed(refusal)) => return Err(Fault::Refused(refusal)),
                Some(Reply::Done(_) | Reply::Happened(_) | Reply::Missed(_)) => {
                    return Err(unexpected());
                }
                Some(Reply::Progress(_)) | None => {}
            }
        }
    }

    /// The next line; `None` for one that is not understood, and not the last.
    fn next(&mut self) -> Result<Option<Reply>, Fault> {
        let mut line = Vec::new();
        let read = (&mut self.replies)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        if let Err(error) = read {
            return Err(match Fault::from(error) {
                Fault::Hangs => silence(self.replies.get_ref()),
                fault => fault,
            });
        }
        if line.last() != Some(&b'\n') {
            return Err(if line.is_empty() {
                Fault::Gone
            } else {
                Fault::Broken("its answer is cut off".to_owned())
            });
        }
        reply(&line)
    }
}

/// What a line says; `None` if it is not understood, and not the last.
pub(super) fn reply(line: &[u8]) -> Result<Option<Reply>, Fault> {
    // A newer supervisor may tell of things that are not known here.
    let newer = [&br#"{"progress""#[..], br#"{"happened""#];
    match serde_json::from_slice(line) {
        Ok(reply) => Ok(Some(reply)),
        Err(_) if newer.iter().any(|it| line.starts_with(it)) => Ok(None),
        Err(error) => Err(Fault::Broken(format!(
            "its answer is not understood ({error}); it may be another version of maitred"
        ))),
    }
}

pub(super) fn unexpected() -> Fault {
    Fault::Broken("it answered another question".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other end is this process, which runs and does not answer.
    #[test]
    fn one_that_runs_and_says_nothing_hangs() {
        let (here, _there) = UnixStream::pair().unwrap();
        let asked = Connection::ask(here, Request::Status).unwrap();
        assert!(matches!(asked.finish(|_| {}), Err(Fault::Hangs)));
    }
}
