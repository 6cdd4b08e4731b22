//! The thread that reads the workers' pipes and writes their logs.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::compressor::Compressor;
use super::file::LogFile;
use super::format::Origin;
use super::gather::Gather;
use super::pace::Pace;
use super::{Notice, Settings, Source, Stream, Tap};

/// What is read from a pipe at once.
const READ: usize = 256 * 1024;

/// A pipe that is found full gets room for so much.
const WIDE: usize = 256 * 1024;

/// The room that a pipe has to begin with.
const NARROW: usize = 64 * 1024;

/// Unfinished lines of all streams together; beyond this they are written in parts.
const HELD: usize = 64 * 1024 * 1024;

/// How many pipes are served between two looks at the orders.
const EVENTS: usize = 64;

/// The mark of the descriptor that wakes the thread for an order.
const WAKE: u64 = 0;

/// What the thread is told.
#[derive(Debug)]
pub(super) enum Order {
    Add(Source),
    Reopen,
    Finish(Duration),
}

/// One stream of one process.
struct Pipe {
    fd: OwnedFd,
    instance: u32,
    origin: Origin,
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
    tap: Option<Box<dyn Tap>>,
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
        tap: Option<Box<dyn Tap>>,
        notices: tokio::sync::mpsc::Sender<Notice>,
        orders: Receiver<Order>,
        wake: Arc<OwnedFd>,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Self {
            settings,
            tap,
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
                Order::Add(source) => self.add(source),
                Order::Reopen => {
                    let now = Timestamp::now();
                    let notices = self.notices.clone();
                    for shared in self.logs.values_mut() {
                        shared.log.reopen(now, &mut teller(&notices));
                    }
                }
                Order::Finish(patience) => self.until = Some(Instant::now() + patience),
            }
        }
    }

    fn add(&mut self, source: Source) {
        let combined = source.files.combined;
        let streams = [
            (Stream::Out, source.out, source.files.out),
            (Stream::Err, source.err, source.files.err),
        ];
        for (stream, fd, file) in streams {
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
                gather: Gather::default(),
                files,
                wide: false,
            };
            self.pipes.insert(key, pipe);
        }
    }

    fn open(&mut self, path: &Path) {
        let shared = self.logs.entry(path.to_owned()).or_insert_with(|| {
            let rotation = self.settings.rotation.as_ref();
            if rotation.is_some_and(|rotation| rotation.gzip) {
                // A supervisor before us may not have come to all.
                self.compressor.ask(path);
            }
            Shared {
                log: LogFile::open(path, &self.settings, &mut teller(&self.notices)),
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
        if read >= NARROW && !pipe.wide {
            pipe.wide = true;
            // The user's share of pipe memory may be used up; then it stays as it is.
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe.fd, WIDE);
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
        if let Some(tap) = &mut self.tap {
            tap.lines(pipe.instance, pipe.origin.stream, lines);
        }
        if pipe.files.iter().all(Option::is_none) {
            return;
        }
        let now = Timestamp::now();
        let format = &self.settings.format;
        let formatted = format.apply(&pipe.origin, now, lines, &mut self.formatted);
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

    /// A pipe has ended.
    fn end(&mut self, mut pipe: Pipe) {
        self.held = self.held.saturating_sub(pipe.gather.len());
        let mut gather = std::mem::take(&mut pipe.gather);
        gather.cut(|lines| self.keep(&pipe, lines));
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::sync::mpsc::{self, Sender};

    use super::super::{Capture, DateFormat, Files, Format, Rotation};
    use super::*;

    struct Seen(Sender<(u32, Stream, Vec<u8>)>);

    impl Tap for Seen {
        fn lines(&mut self, instance: u32, stream: Stream, lines: &[u8]) {
            let _ = self.0.send((instance, stream, lines.to_vec()));
        }
    }

    struct Worker {
        out: std::io::PipeWriter,
        err: std::io::PipeWriter,
    }

    fn add(capture: &Capture, instance: u32, files: Files) -> Worker {
        let (out_read, out) = std::io::pipe().unwrap();
        let (err_read, err) = std::io::pipe().unwrap();
        capture.add(Source {
            instance,
            id: instance,
            out: out_read.into(),
            err: err_read.into(),
            files,
        });
        Worker { out, err }
    }

    fn start(format: Format, tap: Option<Box<dyn Tap>>) -> Capture {
        start_with(format, None, tap)
    }

    fn start_with(
        format: Format,
        rotation: Option<Rotation>,
        tap: Option<Box<dyn Tap>>,
    ) -> Capture {
        let settings = Settings {
            app: "api".into(),
            format,
            rotation,
        };
        let (notices, _) = tokio::sync::mpsc::channel(8);
        Capture::start(settings, tap, notices).unwrap()
    }

    #[test]
    fn each_stream_has_its_file_and_both_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::in_folder(folder.path(), "api");
        files.combined = Some(folder.path().join("api.log"));
        let mut capture = start(Format::Plain, None);
        for instance in 0..2 {
            let mut worker = add(&capture, instance, files.of_instance(instance));
            writeln!(worker.out, "out of {instance}").unwrap();
            drop(worker.out);
            write!(worker.err, "last words of {instance}").unwrap();
        }
        capture.finish(Duration::from_secs(30));
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for instance in 0..2 {
            let out = format!("out of {instance}\n");
            let err = format!("last words of {instance}\n");
            assert_eq!(text(&format!("api-out-{instance}.log")), out);
            assert_eq!(text(&format!("api-error-{instance}.log")), err);
            let both = text(&format!("api-{instance}.log"));
            assert!(both == out.clone() + &err || both == err + &out, "{both}");
        }
    }

    #[test]
    fn lines_of_many_do_not_mix_in_a_merged_file() {
        const LINES: usize = 300;
        const WORKERS: u32 = 4;
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path(), "api");
        let mut capture = start(Format::Dated(DateFormat::parse("[at]")), None);
        let writers: Vec<_> = (0..WORKERS)
            .map(|instance| {
                let mut worker = add(&capture, instance, files.clone());
                std::thread::spawn(move || {
                    for nth in 0..LINES {
                        let line = format!("{instance} {nth} {}\n", "x".repeat(nth * 37));
                        worker.out.write_all(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        capture.finish(Duration::from_secs(30));
        let text = fs::read_to_string(files.out.unwrap()).unwrap();
        let mut next = [0; WORKERS as usize];
        for line in text.lines() {
            let fields: Vec<_> = line.split(' ').collect();
            let instance: usize = fields[1].parse().unwrap();
            let nth: usize = fields[2].parse().unwrap();
            assert_eq!(fields[0], "at:");
            assert_eq!(nth, next[instance]);
            assert_eq!(fields[3].len(), nth * 37);
            next[instance] += 1;
        }
        assert_eq!(next, [LINES; WORKERS as usize]);
    }

    /// A worker that writes as fast as it can is held up by its pipe, and fills no disk.
    #[test]
    fn a_worker_that_writes_without_pause_does_not_get_ahead_of_rotation() {
        const SIZE: u64 = 1024;
        const KEEP: usize = 4;
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path(), "api");
        let rotation = Rotation {
            size: Some(SIZE),
            keep: KEEP,
            gzip: true,
            ..Rotation::default()
        };
        let mut capture = start_with(Format::Plain, Some(rotation), None);
        let mut worker = add(&capture, 0, files.clone());
        for nth in 0..2000 {
            let line = format!("{nth:08} {}\n", "x".repeat(2000));
            worker.out.write_all(line.as_bytes()).unwrap();
        }
        drop(worker);
        capture.finish(Duration::from_secs(60));
        let out = files.out.unwrap();
        let old = super::super::old_logs::list(&out).unwrap();
        assert!(old.len() <= KEEP + 1, "{old:?}");
        assert!(fs::read_to_string(&out).unwrap().contains("00001999 "));
    }

    #[test]
    fn a_tap_sees_what_the_files_get() {
        let (sender, seen) = mpsc::channel();
        let mut capture = start(Format::Json(None), Some(Box::new(Seen(sender))));
        let mut worker = add(&capture, 3, Files::default());
        worker.out.write_all(b"one\ntw").unwrap();
        worker.out.write_all(b"o\n").unwrap();
        drop(worker);
        capture.finish(Duration::from_secs(30));
        drop(capture);
        let mut lines = Vec::new();
        for (instance, stream, bytes) in seen {
            assert_eq!((instance, stream), (3, Stream::Out));
            lines.extend(bytes);
        }
        assert_eq!(lines, b"one\ntwo\n");
    }

    #[test]
    fn a_descendant_that_holds_the_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path(), "api");
        let mut capture = start(Format::Plain, None);
        let mut worker = add(&capture, 0, files.clone());
        write!(worker.out, "unfinished").unwrap();
        capture.finish(Duration::from_millis(50));
        let text = fs::read_to_string(files.out.unwrap()).unwrap();
        assert_eq!(text, "unfinished\n");
        drop(worker);
    }

    #[test]
    fn memory_for_unfinished_lines_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let (notices, _) = tokio::sync::mpsc::channel(8);
        let (_orders, orders) = mpsc::channel();
        let wake = rustix::event::eventfd(0, rustix::event::EventfdFlags::NONBLOCK).unwrap();
        let settings = Settings {
            app: "api".into(),
            format: Format::Plain,
            rotation: Some(Rotation::default()),
        };
        let mut keeper = Keeper::new(settings, None, notices, orders, Arc::new(wake)).unwrap();
        let piece = vec![b'x'; 32 * 1024];
        let mut writers = Vec::new();
        for instance in 0..6 {
            let (out, writer) = std::io::pipe().unwrap();
            let (err, _) = std::io::pipe().unwrap();
            keeper.add(Source {
                instance,
                id: instance,
                out: out.into(),
                err: err.into(),
                files: Files {
                    out: Some(folder.path().join("out.log")),
                    ..Files::default()
                },
            });
            writers.push((u64::from(instance) * 2 + 1, writer));
        }
        for _ in 0..400 {
            for (key, writer) in &mut writers {
                writer.write_all(&piece).unwrap();
                assert_eq!(keeper.serve(*key), piece.len());
                assert!(keeper.held <= HELD, "{}", keeper.held);
            }
        }
        let held: usize = keeper.pipes.values().map(|pipe| pipe.gather.len()).sum();
        assert_eq!(held, keeper.held);
    }
}
