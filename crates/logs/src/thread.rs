//! The thread that reads the workers' pipes and writes their logs.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::compressor::Compressor;
use super::file::LogFile;
use super::format::{Format, Origin};
use super::gather::Gather;
use super::pace::Pace;
use super::rejection::tells_of_rejection;
use super::{Notice, Settings, Source, Stream, Volume};
use telemetry::ids::Instance;

/// What is read from a pipe at once.
const READ: usize = 256 * 1024;

/// A pipe that is found full gets room for so much.
const WIDE: usize = 256 * 1024;

/// The room that a pipe has to begin with.
const NARROW: usize = 64 * 1024;

/// Unfinished lines of all streams together; beyond this they are written in parts.
const HELD: usize = 64 * 1024 * 1024;

/// The beginning of a line that is longer is written as a line of its own at a pause. It is a hundred times as
/// long as any that people read.
const LONGEST_BEGUN: usize = 64 * 1024;

/// How many pipes are served between two looks at the orders.
const EVENTS: usize = 64;

/// The mark of the descriptor that wakes the thread for an order.
const WAKE: u64 = 0;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Add(Source),
    Reopen,
    Change(Box<Settings>),
    /// Read nothing more, and say which lines have begun.
    Pause(Sender<Vec<(RawFd, Vec<u8>)>>),
    /// Go on.
    Resume,
    Finish(Duration),
}

/// One stream of one process.
struct Pipe {
    fd: OwnedFd,
    instance: Instance,
    origin: Origin,
    format: Format,
    gather: Gather,
    /// Its own file, and the one for both streams.
    files: [Option<PathBuf>; 2],
    wide: bool,
}

/// A file, and how many pipes write to it.
struct Shared {
    log: LogFile,
    users: usize,
}

/// Everything that the thread owns.
pub(super) struct Keeper {
    settings: Settings,
    volume: Arc<Volume>,
    notices: tokio::sync::mpsc::Sender<Notice>,
    orders: Receiver<Order>,
    wake: Arc<OwnedFd>,
    epoll: OwnedFd,
    pipes: HashMap<u64, Pipe>,
    logs: HashMap<PathBuf, Shared>,
    next_key: u64,
    /// Bytes of unfinished lines.
    held: usize,
    compressor: Compressor,
    until: Option<Instant>,
    /// What was read, and what it looks like in a file.
    read: Vec<u8>,
    formatted: Vec<u8>,
}

impl Keeper {
    pub(super) fn new(
        settings: Settings,
        volume: Arc<Volume>,
        notices: tokio::sync::mpsc::Sender<Notice>,
        orders: Receiver<Order>,
        wake: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self {
            settings,
            volume,
            notices,
            orders,
            wake,
            epoll,
            pipes: HashMap::new(),
            logs: HashMap::new(),
            next_key: WAKE + 1,
            held: 0,
            compressor: Compressor::default(),
            until: None,
            read: Vec::with_capacity(READ),
            formatted: Vec::new(),
        })
    }

    /// Keeps the logs until it is told to finish.
    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        let mut pace = Pace::default();
        let start = Instant::now();
        loop {
            let now = Instant::now();
            let left = self.until.map(|until| until.saturating_duration_since(now));
            if left.is_some() && (self.pipes.is_empty() || left == Some(Duration::ZERO)) {
                break;
            }
            events.clear();
            // A wait that is too long for the kernel's type does not occur.
            let wait = left.and_then(|left| left.try_into().ok());
            match epoll::wait(&self.epoll, spare_capacity(&mut events), wait.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                // The descriptor is ours and valid: this does not come.
                Err(_) => break,
            }
            let mut read = 0;
            for event in events.drain(..) {
                match event.data.u64() {
                    WAKE => self.take_orders(),
                    key => read += self.serve(key),
                }
            }
            let pause = pace.turn(read, start.elapsed());
            if let Some(pause) = pause.filter(|_| self.until.is_none()) {
                // Not a wait for anything: the pipes gather what comes meanwhile. A wait with a
                // timeout would end at once, for they can be read.
                std::thread::sleep(pause);
            }
        }
        self.close();
    }

    fn take_orders(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Pause(answer) => self.pause(&answer),
                order => self.obey(order),
            }
        }
    }

    /// Reads no pipe, and only obeys orders, until [`Order::Resume`].
    fn pause(&mut self, answer: &Sender<Vec<(RawFd, Vec<u8>)>>) {
        let long = |(_, pipe): &(&u64, &Pipe)| pipe.gather.len() > LONGEST_BEGUN;
        let long: Vec<u64> = self
            .pipes
            .iter()
            .filter(long)
            .map(|(key, _)| *key)
            .collect();
        for key in long {
            if let Some(mut pipe) = self.pipes.remove(&key) {
                self.cut(&mut pipe);
                self.pipes.insert(key, pipe);
            }
        }
        let begun = self.pipes.values().filter(|pipe| pipe.gather.len() > 0);
        let begun = begun.map(|pipe| (pipe.fd.as_raw_fd(), pipe.gather.begun().to_vec()));
        // Whoever has asked waits for it.
        let _ = answer.send(begun.collect());
        while let Ok(order) = self.orders.recv() {
            match order {
                Order::Resume => return,
                order => self.obey(order),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Add(source) => self.add(source),
            Order::Reopen => {
                let now = Timestamp::now();
                let notices = self.notices.clone();
                for shared in self.logs.values_mut() {
                    shared.log.reopen(now, &mut teller(&notices));
                }
            }
            Order::Change(settings) => {
                self.settings = *settings;
                let now = Timestamp::now();
                for shared in self.logs.values_mut() {
                    shared.log.change(&self.settings, now);
                }
            }
            Order::Finish(patience) => self.until = Some(Instant::now() + patience),
            Order::Pause(_) | Order::Resume => {}
        }
    }

    fn add(&mut self, source: Source) {
        let combined = source.files.combined;
        let [begun_out, begun_err] = source.begun;
        let streams = [
            (Stream::Out, source.out, source.files.out, begun_out),
            (Stream::Err, source.err, source.files.err, begun_err),
        ];
        for (stream, fd, file, begun) in streams {
            let key = self.next_key;
            self.next_key += 1;
            let watched = rustix::io::ioctl_fionbio(&fd, true).and_then(|()| {
                epoll::add(&self.epoll, &fd, EventData::new_u64(key), EventFlags::IN)
            });
            if let Err(error) = watched {
                let _ = self.notices.try_send(Notice::Deaf {
                    instance: source.instance,
                    reason: error.to_string(),
                });
                continue;
            }
            let files = [file, combined.clone()].map(|path| path.filter(|path| is_kept(path)));
            for path in files.iter().flatten() {
                self.open(path);
            }
            let pipe = Pipe {
                fd,
                instance: source.instance,
                origin: Origin {
                    app: self.settings.app.clone(),
                    id: source.id,
                    stream,
                },
                format: source.format.clone(),
                gather: Gather::of(begun),
                files,
                wide: false,
            };
            self.held += pipe.gather.len();
            self.pipes.insert(key, pipe);
        }
    }

    fn open(&mut self, path: &Path) {
        let shared = self.logs.entry(path.to_owned()).or_insert_with(|| {
            let tell = &mut teller(&self.notices);
            Shared {
                log: LogFile::open(path, &self.settings, &mut self.compressor, tell),
                users: 0,
            }
        });
        shared.users += 1;
    }

    /// Reads a pipe once; how much there was.
    fn serve(&mut self, key: u64) -> usize {
        let Some(mut pipe) = self.pipes.remove(&key) else {
            return 0;
        };
        self.read.clear();
        let read = match rustix::io::read(&pipe.fd, spare_capacity(&mut self.read)) {
            Ok(0) => {
                self.end(pipe);
                return 0;
            }
            Ok(read) => read,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => {
                self.end(pipe);
                return 0;
            }
        };
        self.volume.add(pipe.origin.stream, read);
        if read >= NARROW && !pipe.wide {
            pipe.wide = true;
            // The user's share of pipe memory may be used up; then it stays as it is.
            if rustix::pipe::fcntl_getpipe_size(&pipe.fd).is_ok_and(|size| size < WIDE) {
                let _ = rustix::pipe::fcntl_setpipe_size(&pipe.fd, WIDE);
            }
        }
        let bytes = std::mem::take(&mut self.read);
        let before = pipe.gather.len();
        let mut gather = std::mem::take(&mut pipe.gather);
        gather.push(&bytes, |lines| self.keep(&pipe, lines));
        self.held = self.held.saturating_sub(before) + gather.len();
        if self.held > HELD {
            self.held -= gather.len();
            gather.cut(|lines| self.keep(&pipe, lines));
        }
        pipe.gather = gather;
        self.read = bytes;
        self.pipes.insert(key, pipe);
        read
    }

    /// Writes whole lines of a pipe to where they belong.
    fn keep(&mut self, pipe: &Pipe, lines: &[u8]) {
        if pipe.origin.stream == Stream::Err && tells_of_rejection(lines) {
            let instance = pipe.instance;
            let _ = self.notices.try_send(Notice::Rejection { instance });
        }
        if pipe.files.iter().all(Option::is_none) {
            return;
        }
        let now = Timestamp::now();
        let formatted = pipe
            .format
            .apply(&pipe.origin, now, lines, &mut self.formatted);
        for path in pipe.files.iter().flatten() {
            if let Some(shared) = self.logs.get_mut(path) {
                let tell = &mut teller(&self.notices);
                shared.log.write(formatted, now, &mut self.compressor, tell);
            }
        }
        // One very long line must not cost memory for ever.
        self.formatted.clear();
        self.formatted.shrink_to(4 * READ);
    }

    /// Writes the line that has begun, and ends it.
    fn cut(&mut self, pipe: &mut Pipe) {
        self.held = self.held.saturating_sub(pipe.gather.len());
        let mut gather = std::mem::take(&mut pipe.gather);
        gather.cut(|lines| self.keep(pipe, lines));
    }

    /// A pipe has ended.
    fn end(&mut self, mut pipe: Pipe) {
        self.cut(&mut pipe);
        // Closing it would do this too, if no copy of it were left anywhere.
        let _ = epoll::delete(&self.epoll, pipe.fd.as_fd());
        for path in pipe.files.iter().flatten() {
            let Some(shared) = self.logs.get_mut(path) else {
                continue;
            };
            shared.users = shared.users.saturating_sub(1);
            if shared.users == 0
                && let Some(shared) = self.logs.remove(path)
            {
                shared.log.close(&mut teller(&self.notices));
            }
        }
    }

    fn close(&mut self) {
        for (_, pipe) in std::mem::take(&mut self.pipes) {
            self.end(pipe);
        }
    }
}

fn teller(notices: &tokio::sync::mpsc::Sender<Notice>) -> impl FnMut(Notice) {
    |notice| {
        // Nobody hears it: the log itself tells of what was lost.
        let _ = notices.try_send(notice);
    }
}

/// Whether there is anything to keep at this path: pm2 users write `NULL` for nothing.
fn is_kept(path: &Path) -> bool {
    path != Path::new("/dev/null") && path != Path::new("NULL")
}
