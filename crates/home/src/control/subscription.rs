//! Following what happens to an app, from the command line's side.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::client::{reply, unexpected};
use super::messages::Envelope;
use super::{Fault, Happened, LONGEST_LINE, Reply, Request, is_trusted};

/// The request is short, and goes into the socket at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is read at once.
const READ: usize = 64 * 1024;

/// What a follower is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Happened(Happened),
    /// So many events are missing here.
    Missed(u64),
}

/// A supervisor's events, as they come.
#[derive(Debug)]
pub struct Subscription {
    socket: UnixStream,
    /// The beginning of a line whose end is still to come.
    begun: Vec<u8>,
}

impl Subscription {
    /// Asks for events; for those, too, that are still known to have happened since then. One that
    /// hangs is not waited for: it may go on later.
    ///
    /// # Errors
    /// If the other side is another user's process, or does not listen.
    pub fn new(socket: UnixStream, since: u64) -> Result<Self, Fault> {
        if !is_trusted(&socket) {
            return Err(Fault::Broken("it is another user's process".to_owned()));
        }
        socket.set_write_timeout(Some(PATIENCE))?;
        let envelope = Envelope::new(Request::Events { since });
        let line = serde_json::to_vec(&envelope);
        let mut line = line.map_err(|error| Fault::Broken(error.to_string()))?;
        line.push(b'\n');
        (&socket).write_all(&line)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            begun: Vec::new(),
        })
    }

    /// What has come by now; never waits.
    ///
    /// # Errors
    /// If nothing more comes, with what has come before.
    pub fn read(&mut self) -> (Vec<Told>, Result<(), Fault>) {
        let mut told = Vec::new();
        let result = self.read_into(&mut told);
        (told, result)
    }

    fn read_into(&mut self, told: &mut Vec<Told>) -> Result<(), Fault> {
        let mut bytes = vec![0; READ];
        let length = match (&self.socket).read(&mut bytes) {
            Ok(0) => return Err(Fault::Gone),
            Ok(length) => length,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.begun
            .extend_from_slice(bytes.get(..length).unwrap_or(&[]));
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let rest = self.begun.split_off(end + 1);
            let line = std::mem::replace(&mut self.begun, rest);
            match reply(&line)? {
                Some(Reply::Happened(happened)) => told.push(Told::Happened(happened)),
                Some(Reply::Missed(count)) => told.push(Told::Missed(count)),
                Some(Reply::Failed(refusal)) if refusal.leaving => {
                    return Err(Fault::Leaving(refusal));
                }
                Some(Reply::Failed(refusal)) => return Err(Fault::Refused(refusal)),
                Some(Reply::Progress(_) | Reply::Done(_) | Reply::Metrics(_)) => {
                    return Err(unexpected());
                }
                None => {}
            }
        }
        if self.begun.len() as u64 > LONGEST_LINE {
            return Err(Fault::Broken("its answer is too long".to_owned()));
        }
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted)
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::events::Event;

    fn happened(at: u64) -> Happened {
        let event = Event::Uncounted;
        Happened { at, event }
    }

    /// A newer supervisor tells of more; what is known is read, whole or in pieces.
    #[test]
    fn lines_are_read_as_they_come() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut subscription = Subscription::new(here, 7).unwrap();
        let say = |text: &str| (&there).write_all(text.as_bytes()).unwrap();
        let line = serde_json::to_string(&Reply::Happened(happened(1))).unwrap();
        let (begin, end) = line.split_at(10);
        say(begin);
        assert!(matches!(subscription.read(), (told, Ok(())) if told.is_empty()));
        say(&format!(
            "{end}\n{{\"happened\":{{\"at\":2,\"event\":{{\"event\":\"flown\"}}}}}}\n"
        ));
        say("{\"missed\":5}\n");
        let (told, result) = subscription.read();
        assert_eq!(told, [Told::Happened(happened(1)), Told::Missed(5)]);
        assert!(result.is_ok());
        drop(there);
        assert!(matches!(subscription.read(), (_, Err(Fault::Gone))));
    }
}
