//! Writing to many sockets in one call: the kernel's asynchronous I/O (`io_submit(2)`), which does
//! for sockets that do not block what `send` does, at once, one after the other.
//!
//! What is gained is not the calls. A process that writes to another wakes it, and may have to make
//! room for it on its processor when the call returns: who writes in one call wakes each reader
//! once, and is interrupted once.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `struct iocb` of `linux/aio_abi.h`, on a little-endian machine.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Call {
    data: u64,
    key: u32,
    flags_of_write: i32,
    operation: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    len: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    result_descriptor: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Event {
    data: u64,
    call: u64,
    result: i64,
    result2: i64,
}

const _: () = assert!(size_of::<Call>() == 64 && size_of::<Event>() == 32);

/// `IOCB_CMD_PWRITE`; for a socket the offset means nothing.
const WRITE: u16 = 1;

/// Fewer are written one after the other: one call more is what it costs to learn what became of
/// those that were begun together.
const FEW: usize = 4;

/// Writes to many sockets in one call, so many at a time. Where the kernel does not offer that (a
/// sandbox may forbid it), one after the other, which is slower and no different.
#[derive(Debug)]
pub struct Batch {
    context: Option<libc::c_ulong>,
    most: usize,
    calls: Vec<Call>,
    pointers: Vec<*mut Call>,
    events: Vec<Event>,
}

// SAFETY: the pointers lead into `calls` and are made anew for each use.
unsafe impl Send for Batch {}

impl Batch {
    /// One for `most` writes in a call.
    pub fn new(most: u32) -> Self {
        let len = most as usize;
        let mut batch = Self {
            context: None,
            most: len.max(1),
            calls: Vec::with_capacity(len),
            pointers: Vec::with_capacity(len),
            events: vec![Event::default(); len],
        };
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes one word, into `context`.
        let made = unsafe { libc::syscall(libc::SYS_io_setup, most, &raw mut context) } == 0;
        if made {
            batch.context = Some(context);
            // A sandbox that grants the one call may forbid the others.
            if batch.submit(0).is_err() || batch.fetch(0).is_err() {
                batch.give_up();
            }
        }
        batch
    }

    /// Writes each run of bytes to its socket, none of which may block, and puts into `taken` how
    /// much of each the kernel took. What has failed with an error of the system was not sent at
    /// all; of what has failed without one that is not known.
    pub fn write(&mut self, runs: &[(BorrowedFd<'_>, &[u8])], taken: &mut Vec<io::Result<usize>>) {
        taken.clear();
        for some in runs.chunks(self.most) {
            if self.context.is_some() && some.len() >= FEW {
                self.write_together(some, taken);
            } else {
                taken.extend(some.iter().map(|(socket, bytes)| write(*socket, bytes)));
            }
        }
    }

    fn write_together(
        &mut self,
        runs: &[(BorrowedFd<'_>, &[u8])],
        taken: &mut Vec<io::Result<usize>>,
    ) {
        let first = taken.len();
        self.calls.clear();
        self.calls
            .extend((0..).zip(runs).map(|(n, (socket, bytes))| Call {
                data: n,
                operation: WRITE,
                descriptor: socket.as_raw_fd().cast_unsigned(),
                buffer: bytes.as_ptr() as u64,
                len: bytes.len() as u64,
                ..Call::default()
            }));
        self.pointers.clear();
        self.pointers
            .extend(self.calls.iter_mut().map(std::ptr::from_mut));
        let unknown = || {
            Err(io::Error::other(
                "the kernel does not tell what became of it",
            ))
        };
        taken.extend(runs.iter().map(|_| unknown()));
        let mut at = 0;
        let mut under_way = 0;
        while at < runs.len() {
            match self.submit(at) {
                Ok(0) => break,
                Ok(submitted) => {
                    at += submitted;
                    under_way += submitted;
                }
                // The first of them is at fault; it was not begun.
                Err(error) => {
                    if let Some(taken) = taken.get_mut(first + at) {
                        *taken = Err(error);
                    }
                    at += 1;
                }
            }
        }
        while under_way > 0 {
            let Ok(fetched) = self.fetch(under_way) else {
                // It waits for all that is under way: nothing borrowed is used after it.
                self.give_up();
                return;
            };
            under_way = under_way.saturating_sub(fetched);
            for event in self.events.iter().take(fetched) {
                let place = usize::try_from(event.data).ok();
                if let Some(taken) = place.and_then(|place| taken.get_mut(first + place)) {
                    *taken = usize::try_from(event.result)
                        .map_err(|_| io::Error::from_raw_os_error(-event.result as i32));
                }
            }
        }
    }

    /// Begins the calls from `at` on; how many were begun.
    fn submit(&self, at: usize) -> io::Result<usize> {
        let calls = self.pointers.get(at..).unwrap_or(&[]);
        // SAFETY: each pointer leads to a call in `self.calls`, which names a buffer and a
        // descriptor that are borrowed by whoever asks for the write, until all have been fetched.
        // The kernel reads the calls and writes into `key` of each, which is in memory of our own
        // that nobody reads.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_submit,
                self.context.unwrap_or(0),
                calls.len() as libc::c_long,
                calls.as_ptr(),
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// Waits until so many calls are over, which those to sockets are from the beginning.
    fn fetch(&mut self, wanted: usize) -> io::Result<usize> {
        let wanted = wanted.min(self.events.len()) as libc::c_long;
        loop {
            // SAFETY: there is room for `wanted` events; no time limit is given.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context.unwrap_or(0),
                    wanted,
                    wanted,
                    self.events.as_mut_ptr(),
                    std::ptr::null::<libc::timespec>(),
                )
            };
            match usize::try_from(result).map_err(|_| io::Error::last_os_error()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Writes one after the other from now on.
    fn give_up(&mut self) {
        if let Some(context) = self.context.take() {
            // SAFETY: the context is ours, and not used after this. The call waits for all that is
            // under way.
            unsafe { libc::syscall(libc::SYS_io_destroy, context) };
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.give_up();
    }
}

fn write(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    Ok(rustix::io::retry_on_intr(|| {
        send(socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    })?)
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pairs(n: usize) -> Vec<(UnixStream, UnixStream)> {
        let pairs = (0..n).map(|_| UnixStream::pair().unwrap());
        pairs
            .inspect(|(ours, _)| ours.set_nonblocking(true).unwrap())
            .collect()
    }

    fn check(mut batch: Batch) {
        let mut pairs = pairs(40);
        let words: Vec<_> = (0..pairs.len()).map(|n| format!("word {n}")).collect();
        let large = vec![b'x'; 1 << 22];
        let gone = UnixStream::pair().unwrap().0;
        gone.set_nonblocking(true).unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let clogged = UnixStream::pair().unwrap();
        clogged.0.set_nonblocking(true).unwrap();
        let mut taken = Vec::new();
        for _ in 0..3 {
            let mut runs: Vec<_> = pairs
                .iter()
                .zip(&words)
                .map(|((ours, _), word)| (ours.as_fd(), word.as_bytes()))
                .collect();
            runs.insert(3, (gone.as_fd(), b"nobody reads this"));
            runs.insert(7, (null.as_fd(), b"this cannot be written to"));
            runs.insert(11, (clogged.0.as_fd(), &large));
            batch.write(&runs, &mut taken);
            assert_eq!(taken.len(), runs.len());
            assert_eq!(taken[3].as_ref().unwrap_err().kind(), ErrorKind::BrokenPipe);
            assert!(taken[7].as_ref().unwrap_err().raw_os_error().is_some());
            match &taken[11] {
                Ok(len) => assert!(*len < large.len()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            for n in [11, 7, 3] {
                drop(taken.remove(n));
            }
            for (((_, theirs), word), taken) in pairs.iter_mut().zip(&words).zip(&taken) {
                let mut read = vec![0; word.len()];
                theirs.read_exact(&mut read).unwrap();
                assert_eq!(read, word.as_bytes());
                assert_eq!(*taken.as_ref().unwrap(), word.len());
            }
        }
        batch.write(&[], &mut taken);
        assert!(taken.is_empty());
    }

    #[test]
    fn all_is_written_and_each_failure_is_told_of() {
        let together = Batch::new(16);
        assert!(together.context.is_some());
        check(together);
    }

    #[test]
    fn one_after_the_other_it_is_no_different() {
        let mut batch = Batch::new(16);
        batch.give_up();
        check(batch);
    }
}
