//! Rotation: a log that has grown large, or old, gets another name, and a new one begins.
//!
//! A rotated log is called `name__2026-03-07_09-05-03.log`, as pm2's module for rotation names
//! it. So the names of older logs never change, and compressing and removing them needs no
//! agreement with the thread that writes.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// When a log is rotated, and what becomes of the old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Once it has so many bytes.
    pub(crate) size: Option<u64>,
    /// Whenever so much time has gone by, counted from the beginning of 1970 (UTC); zero for
    /// never.
    pub(crate) interval: Duration,
    /// How many old ones are kept, beside the one that is written.
    pub(crate) keep: usize,
    /// Whether the old ones are compressed.
    pub(crate) gzip: bool,
}

impl Default for Rotation {
    /// At most 110 MB for a stream: a disk does not fill.
    fn default() -> Self {
        Self {
            size: Some(10 * 1024 * 1024),
            interval: Duration::ZERO,
            keep: 10,
            gzip: false,
        }
    }
}

impl Rotation {
    /// The first moment after `now` at which it is rotated for its age.
    pub(super) fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let interval = i64::try_from(self.interval.as_millis()).ok()?;
        let passed = now.as_millisecond().checked_div_euclid(interval)?;
        let next = passed.checked_add(1)?.checked_mul(interval)?;
        Timestamp::from_millisecond(next).ok()
    }
}

/// At most so many names are tried for logs that are rotated in the same second.
const MOST_IN_A_SECOND: u32 = 10_000;

/// Gives the log another name, in one step, and never the name of a file that exists.
///
/// # Errors
/// Those of `rename(2)`.
pub(super) fn set_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let date = now.to_zoned(TimeZone::system());
    let date = date.strftime("%Y-%m-%d_%H-%M-%S").to_string();
    for nth in 0..MOST_IN_A_SECOND {
        let target = old_name(path, &date, nth);
        if compressed(&target).exists() {
            continue;
        }
        match renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(target),
            Err(Errno::EXIST) => {}
            // Some file systems cannot promise it.
            Err(Errno::INVAL) if !target.exists() => {
                fs::rename(path, &target)?;
                return Ok(target);
            }
            Err(Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn old_name(path: &Path, date: &str, nth: u32) -> PathBuf {
    let (stem, extension) = split_name(path);
    let mut name = stem.to_owned();
    name.push("__");
    name.push(date);
    if nth > 0 {
        name.push(format!("_{nth}"));
    }
    name.push(extension);
    path.with_file_name(name)
}

fn compressed(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// The name without `.log`, and that.
fn split_name(path: &Path) -> (&OsStr, &'static str) {
    let name = path.file_name().unwrap_or_default();
    match name.as_bytes().strip_suffix(b".log") {
        Some(stem) => (OsStr::from_bytes(stem), ".log"),
        None => (name, ""),
    }
}

/// Whether this is the name of an old log of the one called `path`, and if so, whether it is
/// compressed.
fn is_old(path: &Path, name: &OsStr) -> Option<bool> {
    let (stem, extension) = split_name(path);
    let rest = name.as_bytes().strip_prefix(stem.as_bytes())?;
    let rest = rest.strip_prefix(b"__")?;
    let (rest, compressed) = match rest.strip_suffix(b".gz") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let rest = rest.strip_suffix(extension.as_bytes())?;
    let (date, nth) = rest.split_at_checked(19)?;
    let shape = date.iter().zip(b"0000-00-00_00-00-00");
    let is_date = shape.clone().all(|(byte, like)| match like {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    });
    let is_nth = match nth.strip_prefix(b"_") {
        Some(number) => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        None => nth.is_empty(),
    };
    (is_date && is_nth).then_some(compressed)
}

/// An order for the thread that tidies up.
#[derive(Debug)]
struct Order {
    path: PathBuf,
    keep: usize,
    gzip: bool,
}

/// Compresses and removes old logs, in a thread of low priority that is started when the first
/// log is rotated.
#[derive(Debug, Default)]
pub(super) struct Tidier {
    orders: Option<SyncSender<Order>>,
}

impl Tidier {
    /// A log has been rotated: its old ones are to be looked after. Does not wait; an order that
    /// is lost is made good by the next one.
    pub(super) fn tidy(&mut self, path: &Path, rotation: &Rotation) {
        let orders = match &self.orders {
            Some(orders) => orders,
            None => {
                let (sender, orders) = sync_channel(16);
                let work = move || run(&orders);
                // Without a thread the old logs stay until one can be had.
                let thread = std::thread::Builder::new().name("rotation".into());
                if thread.spawn(work).is_err() {
                    return;
                }
                self.orders.insert(sender)
            }
        };
        let _ = orders.try_send(Order {
            path: path.to_owned(),
            keep: rotation.keep,
            gzip: rotation.gzip,
        });
    }
}

fn run(orders: &Receiver<Order>) {
    // On Linux this is the thread's own; it is a courtesy, not a need.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
    for order in orders {
        // What cannot be done now is tried again after the next rotation.
        let _ = tidy(&order.path, order.keep, order.gzip);
    }
}

/// Removes the oldest logs, and compresses the others if so wished.
fn tidy(path: &Path, keep: usize, gzip: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut old = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        if let Some(compressed) = is_old(path, &entry.file_name())
            && let Ok(meta) = entry.metadata()
            && meta.is_file()
        {
            let written = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            old.push((written, entry.path(), compressed));
        }
    }
    old.sort();
    let too_many = old.len().saturating_sub(keep);
    for (_, path, _) in old.drain(..too_many) {
        fs::remove_file(path)?;
    }
    if gzip {
        for (written, path, compressed) in old {
            if !compressed {
                compress(&path, written)?;
            }
        }
    }
    Ok(())
}

/// Compresses one log; it is there under one name or the other at any time.
fn compress(path: &Path, written: SystemTime) -> io::Result<()> {
    let target = compressed(path);
    let mut part = target.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut from = File::open(path)?;
    let to = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    let mut encoder = GzEncoder::new(to, Compression::default());
    let copied = io::copy(&mut from, &mut encoder)
        .and_then(|_| encoder.finish())
        .and_then(|to| {
            to.set_modified(written)?;
            to.sync_all()
        })
        .and_then(|()| fs::rename(&part, &target));
    if let Err(error) = copied {
        // A full disk, most likely: room is needed.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn names_of_old_logs_are_recognised() {
        let path = Path::new("/logs/api-out-0.log");
        for (name, expected) in [
            ("api-out-0__2026-03-07_09-05-03.log", Some(false)),
            ("api-out-0__2026-03-07_09-05-03_12.log.gz", Some(true)),
            ("api-out-0.log", None),
            ("api-out-01__2026-03-07_09-05-03.log", None),
            ("api-out-0__2026-03-07_09-05-03.log.gz.part", None),
            ("api-out-0__mine.log", None),
            ("api-out-0__2026-03-07_09-05-03_.log", None),
            ("api-out-0__2026-03-07_09-05.log", None),
        ] {
            assert_eq!(is_old(path, OsStr::new(name)), expected, "{name}");
        }
        let plain = Path::new("/logs/plain");
        let old = old_name(plain, "2026-03-07_09-05-03", 1);
        assert_eq!(old, Path::new("/logs/plain__2026-03-07_09-05-03_1"));
        assert_eq!(is_old(plain, old.file_name().unwrap()), Some(false));
    }

    #[test]
    fn age_is_counted_from_midnight() {
        let after = |hours: u64| {
            let interval = Duration::from_secs(hours * 3600);
            let rotation = Rotation {
                interval,
                ..Rotation::default()
            };
            let next = rotation.after("2026-03-07T09:05:03Z".parse().unwrap());
            next.map(|next| next.to_string())
        };
        assert_eq!(after(24).unwrap(), "2026-03-08T00:00:00Z");
        assert_eq!(after(1).unwrap(), "2026-03-07T10:00:00Z");
        assert_eq!(after(0), None);
    }

    #[test]
    fn logs_of_the_same_second_all_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let now = Timestamp::now();
        for text in ["one", "two", "three"] {
            fs::write(&path, text).unwrap();
            let old = set_aside(&path, now).unwrap();
            assert_eq!(fs::read_to_string(old).unwrap(), text);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_oldest_go_and_the_others_are_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let foreign = folder.path().join("a__notes.log");
        fs::write(&foreign, "mine").unwrap();
        fs::write(&path, "now").unwrap();
        for nth in 0..5 {
            let old = old_name(&path, "2026-03-07_09-05-03", nth);
            fs::write(&old, format!("text {nth}")).unwrap();
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(nth));
            File::open(&old).unwrap().set_modified(written).unwrap();
        }
        for _ in 0..2 {
            tidy(&path, 3, true).unwrap();
            let mut kept = Vec::new();
            for entry in fs::read_dir(folder.path()).unwrap().flatten() {
                if is_old(&path, &entry.file_name()) == Some(true) {
                    let mut text = String::new();
                    flate2::read::GzDecoder::new(File::open(entry.path()).unwrap())
                        .read_to_string(&mut text)
                        .unwrap();
                    kept.push(text);
                }
            }
            kept.sort();
            assert_eq!(kept, ["text 2", "text 3", "text 4"]);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
        }
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    }
}
