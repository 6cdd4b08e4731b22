//! Compressing old logs, in a thread of low priority of its own.
//!
//! It holds nobody up, and nothing depends on it: what it has not come to yet counts as any old
//! log does, and goes when its time has come. It agrees with the thread that removes old logs by
//! the plain file alone: who removes that has decided what becomes of the log.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::old_logs::{self, Form, OldLog};
use safe_files::{Folder, How, Place};

/// Paths of logs whose old ones are to be compressed: each once, so that there are no more of
/// them than logs.
type Waiting = Mutex<HashSet<PathBuf>>;

/// A log: the path that it has in the config, and where it lies.
type Order = (PathBuf, Place);

/// Asks for compressing; the thread is started when the first asks.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    waiting: Arc<Waiting>,
    orders: Option<Sender<Order>>,
}

impl Compressor {
    /// The old logs of this one are to be compressed. Does not wait.
    pub(super) fn ask(&mut self, path: &Path, place: &Place) {
        let orders = match &self.orders {
            Some(orders) => orders,
            None => {
                let (sender, orders) = channel();
                let waiting = Arc::clone(&self.waiting);
                let thread = std::thread::Builder::new().name("compressor".into());
                // Without a thread they stay as they are until one can be had.
                if thread.spawn(move || run(&orders, &waiting)).is_err() {
                    return;
                }
                self.orders.insert(sender)
            }
        };
        if lock(&self.waiting).insert(path.to_owned()) {
            // The thread ends after us.
            let _ = orders.send((path.to_owned(), place.clone()));
        }
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashSet<PathBuf>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(orders: &Receiver<Order>, waiting: &Waiting) {
    // On Linux this is the thread's own; it is a courtesy, not a need.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
    for (path, place) in orders {
        lock(waiting).remove(&path);
        compress_all(&place);
    }
}

/// Compresses what can be; the rest stays as it is, and is tried after the next rotation.
fn compress_all(place: &Place) {
    let folder = &place.folder;
    let old = old_logs::list(folder, &place.name).unwrap_or_default();
    // If logs come faster than they can be compressed, the oldest ones will be gone first.
    for log in old.iter().rev().filter(|log| log.form() == Form::Plain) {
        let part = log.of_form(Form::Part);
        let done = write_part(folder, log, &part).and_then(|()| put_in_place(folder, log, &part));
        if done.is_err() {
            // It has been removed meanwhile, or the disk is full: room is needed.
            let _ = folder.remove(&part);
        }
    }
}

fn write_part(folder: &Folder, log: &OldLog, part: &OsStr) -> io::Result<()> {
    let mut from = folder.open(log.name(), How::Read)?;
    if !from.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // One that is there was left by somebody who was killed, or put there by somebody else.
    match folder.remove(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let to = folder.open(part, How::New)?;
    let mut encoder = GzEncoder::new(to, Compression::default());
    io::copy(&mut from, &mut encoder)?;
    let to = encoder.finish()?;
    to.set_modified(log.written())?;
    to.sync_all()
}

/// From one form to the other: the log is there in one of them at any time.
fn put_in_place(folder: &Folder, log: &OldLog, part: &OsStr) -> io::Result<()> {
    let compressed = log.of_form(Form::Compressed);
    folder.rename(part, &compressed)?;
    folder.remove(log.name()).inspect_err(|_| {
        // Its time had come meanwhile; or it stays, and one form is enough.
        let _ = folder.remove(&compressed);
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Read;
    use std::time::{Duration, SystemTime};

    use super::*;

    struct Bench {
        folder: tempfile::TempDir,
        path: PathBuf,
    }

    impl Bench {
        /// A log with so many old ones; the first of them is the oldest.
        fn new(old: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            for nth in 0..old {
                let known = old_logs::listed(&path);
                let name = old_logs::next_name(OsStr::new("a.log"), "2026-03-07_09-05-03", &known);
                let name = path.with_file_name(name);
                fs::write(&name, format!("text {nth}")).unwrap();
                let written = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(nth));
                File::open(&name).unwrap().set_modified(written).unwrap();
            }
            Self { folder, path }
        }

        fn place(&self) -> Place {
            safe_files::look(&self.path).unwrap()
        }

        fn files(&self) -> usize {
            fs::read_dir(self.folder.path()).unwrap().count()
        }
    }

    #[test]
    fn old_logs_are_compressed_and_keep_their_order() {
        let bench = Bench::new(3);
        for _ in 0..2 {
            compress_all(&bench.place());
            let mut texts = Vec::new();
            for log in old_logs::listed(&bench.path) {
                assert_eq!(log.form(), Form::Compressed);
                let name = log.of_form(Form::Compressed);
                let file = File::open(bench.path.with_file_name(name)).unwrap();
                let mut text = String::new();
                let mut decoder = flate2::read::GzDecoder::new(file);
                decoder.read_to_string(&mut text).unwrap();
                texts.push(text);
            }
            assert_eq!(texts, ["text 0", "text 1", "text 2"]);
            assert_eq!(bench.files(), 3);
        }
    }

    #[test]
    fn one_that_cannot_be_read_does_not_keep_the_others_plain() {
        let bench = Bench::new(3);
        let old = old_logs::listed(&bench.path);
        // Nothing can be written there.
        let newest = old.last().unwrap();
        fs::create_dir(bench.path.with_file_name(newest.of_form(Form::Part))).unwrap();
        compress_all(&bench.place());
        let forms = old_logs::listed(&bench.path);
        let forms: Vec<_> = forms.iter().map(OldLog::form).collect();
        assert_eq!(forms, [Form::Compressed, Form::Compressed, Form::Plain]);
    }

    /// Whenever a log is removed while it is being compressed, nothing of it comes back.
    #[test]
    fn what_is_removed_meanwhile_stays_removed() {
        let bench = Bench::new(2);
        let folder = bench.place().folder;
        let at = |name: &OsStr| bench.path.with_file_name(name);
        let old = old_logs::listed(&bench.path);
        for (log, before_part) in old.iter().zip([true, false]) {
            let part = log.of_form(Form::Part);
            if before_part {
                let removed = fs::read(at(log.name())).unwrap();
                log.remove(&folder).unwrap();
                // The part comes after the removal, as with a file that was open already.
                fs::write(at(&part), removed).unwrap();
            } else {
                write_part(&folder, log, &part).unwrap();
                log.remove(&folder).unwrap();
            }
            put_in_place(&folder, log, &part).unwrap_err();
        }
        assert_eq!(bench.files(), 0);
    }
}
