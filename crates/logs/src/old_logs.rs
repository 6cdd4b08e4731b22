//! The old logs of a file: what they are called, which there are, and how they go.
//!
//! A log that was set aside is called `name__2026-03-07_09-05-03.log`, as pm2's module for
//! rotation names it, with `_1`, `_2` after the date where a second has seen several, and with
//! `.gz` at its end once it is compressed. What is being compressed stands there as
//! `.gz.part` too; all of these are one log.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

use safe_files::Folder;

/// An old log; the older ones are the lesser ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OldLog {
    /// Stands first, for dates in names go back by an hour once a year.
    written: SystemTime,
    mark: Mark,
    /// In which form it was found.
    form: Form,
    /// As it was set aside.
    name: OsString,
}

/// What its name says: the date, and its number within that second.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mark {
    date: String,
    nth: u32,
}

/// What a file is of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Plain,
    Compressed,
    /// What was compressed so far.
    Part,
}

impl OldLog {
    /// When its last line was written.
    pub(super) fn written(&self) -> SystemTime {
        self.written
    }

    /// Its name as it was set aside, under which it may not be there any more.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Its best form, when it was found.
    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// The name of the file of this form.
    pub(super) fn of_form(&self, form: Form) -> OsString {
        let mut name = self.name.clone();
        name.push(form.ending());
        name
    }

    /// Removes it, in all its forms; who compresses it just now sees that the plain one is gone,
    /// and removes what it has made.
    ///
    /// # Errors
    /// If one of them stays.
    pub(super) fn remove(&self, folder: &Folder) -> io::Result<()> {
        let mut result = Ok(());
        for form in [Form::Plain, Form::Compressed, Form::Part] {
            match folder.remove(&self.of_form(form)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                _ => {}
            }
        }
        result
    }
}

impl Form {
    fn ending(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Compressed => ".gz",
            Self::Part => ".gz.part",
        }
    }
}

/// The old logs of the one called `log` in this folder, the oldest first.
///
/// # Errors
/// If the folder cannot be read.
pub(super) fn list(folder: &Folder, log: &OsStr) -> io::Result<Vec<OldLog>> {
    let mut found = BTreeMap::<Mark, OldLog>::new();
    for entry in folder.names()? {
        let Some((mark, form)) = understood(log, &entry) else {
            continue;
        };
        // One that is not there any more was removed, or compressed, this very moment.
        let Ok(Some(stat)) = folder.stat(&entry) else {
            continue;
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            continue;
        }
        if found.get(&mark).is_none_or(|known| form < known.form) {
            let log = OldLog {
                written: modified(&stat),
                form,
                name: name(log, &mark),
                mark: mark.clone(),
            };
            found.insert(mark, log);
        }
    }
    let mut logs: Vec<_> = found.into_values().collect();
    logs.sort();
    Ok(logs)
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// The name for a log that is set aside at this date, beside these.
pub(super) fn next_name(log: &OsStr, date: &str, old: &[OldLog]) -> OsString {
    let same_second = old.iter().filter(|log| log.mark.date == date);
    let last = same_second.map(|log| log.mark.nth).max();
    let mark = Mark {
        date: date.to_owned(),
        nth: last.map_or(0, |last| last.saturating_add(1)),
    };
    name(log, &mark)
}

fn name(log: &OsStr, mark: &Mark) -> OsString {
    let (stem, extension) = split_name(log);
    let mut name = stem.to_owned();
    name.push("__");
    name.push(&mark.date);
    if mark.nth > 0 {
        name.push(format!("_{}", mark.nth));
    }
    name.push(extension);
    name
}

/// The name without `.log`, and that.
fn split_name(name: &OsStr) -> (&OsStr, &'static str) {
    match name.as_bytes().strip_suffix(b".log") {
        Some(stem) => (OsStr::from_bytes(stem), ".log"),
        None => (name, ""),
    }
}

/// What the name of an old log of the one called `log` says, if it is one.
fn understood(log: &OsStr, name: &OsStr) -> Option<(Mark, Form)> {
    let (stem, extension) = split_name(log);
    let rest = name.as_bytes().strip_prefix(stem.as_bytes())?;
    let rest = rest.strip_prefix(b"__")?;
    let ends = |form: Form| Some((rest.strip_suffix(form.ending().as_bytes())?, form));
    let (rest, form) = ends(Form::Part)
        .or_else(|| ends(Form::Compressed))
        .unwrap_or((rest, Form::Plain));
    let rest = rest.strip_suffix(extension.as_bytes())?;
    let (date, nth) = rest.split_at_checked(19)?;
    let mut shape = date.iter().zip(b"0000-00-00_00-00-00");
    let is_date = shape.all(|(byte, like)| match like {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    });
    let nth = match nth.strip_prefix(b"_") {
        Some(number) if number.iter().all(u8::is_ascii_digit) => {
            str::from_utf8(number).ok()?.parse().ok()?
        }
        None if nth.is_empty() => 0,
        _ => return None,
    };
    let date = str::from_utf8(date).ok().filter(|_| is_date)?.to_owned();
    Some((Mark { date, nth }, form))
}

/// As [`list`], for tests.
#[cfg(test)]
pub(super) fn listed(path: &std::path::Path) -> Vec<OldLog> {
    let place = safe_files::look(path).unwrap();
    list(&place.folder, &place.name).unwrap()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn names_of_old_logs_are_recognised() {
        let log = OsStr::new("api-out-0.log");
        let mark = |nth| Mark {
            date: "2026-03-07_09-05-03".into(),
            nth,
        };
        for (name, expected) in [
            (
                "api-out-0__2026-03-07_09-05-03.log",
                Some((mark(0), Form::Plain)),
            ),
            (
                "api-out-0__2026-03-07_09-05-03_12.log.gz",
                Some((mark(12), Form::Compressed)),
            ),
            (
                "api-out-0__2026-03-07_09-05-03.log.gz.part",
                Some((mark(0), Form::Part)),
            ),
            ("api-out-0.log", None),
            ("api-out-01__2026-03-07_09-05-03.log", None),
            ("api-out-0__mine.log", None),
            ("api-out-0__2026-03-07_09-05-03_.log", None),
            ("api-out-0__2026-03-07_09-05-03_99999999999.log", None),
            ("api-out-0__2026-03-07_09-05.log", None),
        ] {
            assert_eq!(understood(log, OsStr::new(name)), expected, "{name}");
        }
        let plain = OsStr::new("plain");
        let old = name(plain, &mark(1));
        assert_eq!(old, "plain__2026-03-07_09-05-03_1");
        let known = understood(plain, &old);
        assert_eq!(known, Some((mark(1), Form::Plain)));
    }

    #[test]
    fn the_order_is_that_of_writing_and_a_number_is_not_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let date = "2026-03-07_09-05-03";
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (name, written) in [
            (format!("a__{date}.log"), 3),
            (format!("a__{date}_9.log.gz"), 4),
            (format!("a__{date}_10.log"), 4),
            // The compressed form came later, and is the same log.
            (format!("a__{date}_10.log.gz"), 7),
            ("a__2026-03-07_10-05-03.log".to_owned(), 1),
            (format!("a__{date}_3.log.gz.part"), 5),
            ("a__notes.log".to_owned(), 0),
        ] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(at(written)).unwrap();
        }
        let old = listed(&path);
        let order: Vec<_> = old.iter().map(|log| (log.mark.nth, log.form)).collect();
        let expected = [
            (0, Form::Plain),
            (0, Form::Plain),
            (9, Form::Compressed),
            (10, Form::Plain),
            (3, Form::Part),
        ];
        assert_eq!(order, expected);
        let next = next_name(OsStr::new("a.log"), date, &old);
        assert_eq!(next.to_str(), Some(&*format!("a__{date}_11.log")));
        let place = safe_files::look(&path).unwrap();
        for log in old {
            log.remove(&place.folder).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
