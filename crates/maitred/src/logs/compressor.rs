//! Compressing old logs, in a thread of low priority of its own.
//!
//! It holds nobody up, and nothing depends on it: what it has not come to yet counts as any old
//! log does, and goes when its time has come. It agrees with the thread that removes old logs by
//! the plain file alone: who removes that has decided what becomes of the log.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::old_logs::{self, Form, OldLog};

/// Paths of logs whose old ones are to be compressed: each once, so that there are no more of
/// them than logs.
type Waiting = Mutex<HashSet<PathBuf>>;

/// Asks for compressing; the thread is started when the first asks.
#[derive(Debug, Default)]
pub(super) struct Compressor {
    waiting: Arc<Waiting>,
    orders: Option<Sender<PathBuf>>,
}

impl Compressor {
    /// The old logs of this one are to be compressed. Does not wait.
    pub(super) fn ask(&mut self, path: &Path) {
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
            let _ = orders.send(path.to_owned());
        }
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashSet<PathBuf>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(orders: &Receiver<PathBuf>, waiting: &Waiting) {
    // On Linux this is the thread's own; it is a courtesy, not a need.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
    for path in orders {
        lock(waiting).remove(&path);
        compress_all(&path);
    }
}

/// Compresses what can be; the rest stays as it is, and is tried after the next rotation.
fn compress_all(path: &Path) {
    let old = old_logs::list(path).unwrap_or_default();
    // If logs come faster than they can be compressed, the oldest ones will be gone first.
    for log in old.iter().rev().filter(|log| log.form() == Form::Plain) {
        let part = log.of_form(Form::Part);
        let done = write_part(log, &part).and_then(|()| put_in_place(log, &part));
        if done.is_err() {
            // It has been removed meanwhile, or the disk is full: room is needed.
            let _ = fs::remove_file(&part);
        }
    }
}

fn write_part(log: &OldLog, part: &Path) -> io::Result<()> {
    let mut from = File::open(log.path())?;
    let to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(part)?;
    let mut encoder = GzEncoder::new(to, Compression::default());
    io::copy(&mut from, &mut encoder)?;
    let to = encoder.finish()?;
    to.set_modified(log.written())?;
    to.sync_all()
}

/// From one form to the other: the log is there in one of them at any time.
fn put_in_place(log: &OldLog, part: &Path) -> io::Result<()> {
    let compressed = log.of_form(Form::Compressed);
    fs::rename(part, &compressed)?;
    fs::remove_file(log.path()).inspect_err(|_| {
        // Its time had come meanwhile; or it stays, and one form is enough.
        let _ = fs::remove_file(&compressed);
    })
}

#[cfg(test)]
mod tests {
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
                let known = old_logs::list(&path).unwrap();
                let name = old_logs::next_name(&path, "2026-03-07_09-05-03", &known);
                fs::write(&name, format!("text {nth}")).unwrap();
                let written = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(nth));
                File::open(&name).unwrap().set_modified(written).unwrap();
            }
            Self { folder, path }
        }

        fn files(&self) -> usize {
            fs::read_dir(self.folder.path()).unwrap().count()
        }
    }

    #[test]
    fn old_logs_are_compressed_and_keep_their_order() {
        let bench = Bench::new(3);
        for _ in 0..2 {
            compress_all(&bench.path);
            let mut texts = Vec::new();
            for log in old_logs::list(&bench.path).unwrap() {
                assert_eq!(log.form(), Form::Compressed);
                let file = File::open(log.of_form(Form::Compressed)).unwrap();
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
        let old = old_logs::list(&bench.path).unwrap();
        // Nothing can be written there.
        let newest = old.last().unwrap();
        fs::create_dir(newest.of_form(Form::Part)).unwrap();
        compress_all(&bench.path);
        let forms = old_logs::list(&bench.path).unwrap();
        let forms: Vec<_> = forms.iter().map(OldLog::form).collect();
        assert_eq!(forms, [Form::Compressed, Form::Compressed, Form::Plain]);
    }

    /// Whenever a log is removed while it is being compressed, nothing of it comes back.
    #[test]
    fn what_is_removed_meanwhile_stays_removed() {
        let bench = Bench::new(2);
        for (log, before_part) in old_logs::list(&bench.path)
            .unwrap()
            .iter()
            .zip([true, false])
        {
            let part = log.of_form(Form::Part);
            if before_part {
                let removed = fs::read(log.path()).unwrap();
                log.remove().unwrap();
                // The part comes after the removal, as with a file that was open already.
                fs::write(&part, removed).unwrap();
            } else {
                write_part(log, &part).unwrap();
                log.remove().unwrap();
            }
            put_in_place(log, &part).unwrap_err();
        }
        assert_eq!(bench.files(), 0);
    }
}
