//! How a guard tells its supervisor of processes that it has reaped: those whose own supervisor was killed have
//! the guard for a parent.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use home::Exit;
use rustix::pipe::{PipeFlags, pipe_with};
use sys::Readable;

/// A process that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    pub(crate) exit: Exit,
    /// The processor time that it has used.
    pub(crate) cpu: Duration,
}

/// How many bytes tell of one. A pipe takes so many at once, or none.
const SIZE: usize = 20;

/// So many wait for room in the pipe, at the most. More than a machine runs cannot have ended.
const MOST: usize = 1 << 20;

/// The pipe. Its descriptors stay open as long as guard or supervisor live, which have one table of them.
#[derive(Debug)]
pub(crate) struct EndedPipe {
    read: Arc<OwnedFd>,
    write: Arc<OwnedFd>,
    waiting: VecDeque<Ended>,
    watched: Option<Readable>,
}

impl EndedPipe {
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Self::of([read, write]))
    }

    /// One that another program has made, whose place this one has taken: the end to read from, and the one to
    /// write to.
    pub(crate) fn of([read, write]: [OwnedFd; 2]) -> Self {
        let (read, write) = (Arc::new(read), Arc::new(write));
        // One more of each, which is never dropped: the other process has the same descriptors.
        std::mem::forget((read.clone(), write.clone()));
        Self {
            read,
            write,
            waiting: VecDeque::new(),
            watched: None,
        }
    }

    /// Its descriptors, in this order.
    pub(crate) fn descriptors(&self) -> [i32; 2] {
        [self.read.as_raw_fd(), self.write.as_raw_fd()]
    }

    /// The same pipe, for the supervisor.
    pub(crate) fn share(&self) -> Self {
        Self {
            read: self.read.clone(),
            write: self.write.clone(),
            waiting: VecDeque::new(),
            watched: None,
        }
    }

    /// Tells of one, and of those for which there was no room before.
    pub(crate) fn tell(&mut self, ended: Option<Ended>) {
        if self.waiting.len() < MOST {
            self.waiting.extend(ended);
        }
        while let Some(next) = self.waiting.front() {
            if rustix::io::write(&*self.write, &encode(*next)) != Ok(SIZE) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// One that was told of.
    pub(crate) fn read(&mut self) -> io::Result<Ended> {
        read(self.read.as_fd())
    }

    /// The next one. Loses nothing when it is dropped. Needs tokio's reactor.
    pub(crate) async fn next(&mut self) -> Option<Ended> {
        let watched = match self.watched.take() {
            Some(watched) => watched,
            None => Readable::new(self.read.try_clone().ok()?).ok()?,
        };
        self.watched.insert(watched).read(read).await.ok()
    }
}

fn read(pipe: BorrowedFd<'_>) -> io::Result<Ended> {
    let mut bytes = [0; SIZE];
    match rustix::io::read(pipe, &mut bytes)? {
        SIZE => Ok(decode(bytes)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn encode(ended: Ended) -> [u8; SIZE] {
    let (kind, value) = match ended.exit {
        Exit::Code(code) => (0, code),
        Exit::Signal(signal) => (1, signal),
    };
    let cpu = u64::try_from(ended.cpu.as_nanos()).unwrap_or(u64::MAX);
    let instances = [ended.pid, kind, value].map(i32::to_ne_bytes);
    let mut bytes = [0; SIZE];
    let all = instances
        .as_flattened()
        .iter()
        .chain(&cpu.to_ne_bytes())
        .copied()
        .collect::<Vec<_>>();
    for (to, from) in bytes.iter_mut().zip(all) {
        *to = from;
    }
    bytes
}

fn decode(bytes: [u8; SIZE]) -> Ended {
    let number = |at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| i32::from_ne_bytes(*bytes))
    };
    let cpu = bytes
        .last_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    Ended {
        pid: number(0),
        exit: match number(4) {
            0 => Exit::Code(number(8)),
            _ => Exit::Signal(number(8)),
        },
        cpu: Duration::from_nanos(cpu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_in_order_and_nothing_is_lost() {
        let mut guard = EndedPipe::new().unwrap();
        let mut supervisor = guard.share();
        let ended = |pid: i32| Ended {
            pid,
            exit: match pid % 2 {
                0 => Exit::Code(pid % 256),
                _ => Exit::Signal(9),
            },
            cpu: Duration::from_nanos(pid as u64 * 1_000_000_007),
        };
        // More than a pipe holds.
        let all = 1..=10_000;
        all.clone().for_each(|pid| guard.tell(Some(ended(pid))));
        let mut heard = Vec::new();
        while heard.len() < 10_000 {
            heard.extend(std::iter::from_fn(|| supervisor.read().ok()));
            guard.tell(None);
        }
        assert_eq!(heard, all.map(ended).collect::<Vec<_>>());
    }
}
