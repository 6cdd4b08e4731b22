//! Rotation: a log that has grown large, or old, gets another name, and a new one begins.
//!
//! All of it is done by the thread that writes the log, and the oldest ones go before another
//! one is kept: so a worker that writes faster than that can be done waits, and no disk fills.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::old_logs::{self, OldLog};
use safe_files::{Folder, Place};

/// When a log is rotated, and what becomes of the old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Once it has so many bytes.
    pub size: Option<u64>,
    /// Whenever so much time has gone by, counted from the beginning of 1970 (UTC); zero for
    /// never.
    pub interval: Duration,
    /// How many old ones are kept, beside the one that is written.
    pub keep: usize,
    /// Whether the old ones are compressed.
    pub gzip: bool,
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

/// At most so many names are tried, if somebody else takes them.
const TRIES: usize = 100;

/// Gives the log another name, in one step, and never the name of a file that exists. Before
/// that the oldest ones go, so that at no moment there are more than `keep`.
///
/// # Errors
/// If the old ones cannot be listed or removed, and those of `rename(2)`.
pub(super) fn set_aside(place: &Place, now: Timestamp, keep: usize) -> io::Result<()> {
    let Place { folder, name } = place;
    let mut old = old_logs::list(folder, name)?;
    make_room(folder, &mut old, keep.saturating_sub(1))?;
    if keep == 0 {
        return folder.remove(name);
    }
    let date = now.to_zoned(TimeZone::system());
    let date = date.strftime("%Y-%m-%d_%H-%M-%S").to_string();
    for _ in 0..TRIES {
        let target = old_logs::next_name(name, &date, &old);
        match folder.rename_to_new(name, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            renamed => return renamed,
        }
        old = old_logs::list(folder, name)?;
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Removes the oldest ones that can be removed, until there are no more than `most`.
fn make_room(folder: &Folder, old: &mut Vec<OldLog>, most: usize) -> io::Result<()> {
    let mut too_many = old.len().saturating_sub(most);
    let mut failed = None;
    old.retain(|log| {
        let remove = too_many > 0;
        match remove.then(|| log.remove(folder)) {
            None => true,
            Some(Ok(())) => {
                too_many -= 1;
                false
            }
            Some(Err(error)) => {
                failed = Some(error);
                true
            }
        }
    });
    match failed {
        Some(error) if too_many > 0 => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::old_logs::Form;
    use super::*;

    fn set_aside(path: &Path, now: Timestamp, keep: usize) {
        super::set_aside(&safe_files::look(path).unwrap(), now, keep).unwrap();
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

    fn old_texts(path: &Path) -> Vec<String> {
        let old = old_logs::listed(path);
        let texts = old
            .iter()
            .map(|log| fs::read_to_string(path.with_file_name(log.name())).unwrap());
        texts.collect()
    }

    #[test]
    fn the_newest_of_the_same_second_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let foreign = folder.path().join("a__notes.log");
        fs::write(&foreign, "mine").unwrap();
        let now = Timestamp::now();
        for nth in 0..40 {
            fs::write(&path, format!("{nth}")).unwrap();
            set_aside(&path, now, 3);
        }
        assert_eq!(old_texts(&path), ["37", "38", "39"]);
        fs::write(&path, "40").unwrap();
        set_aside(&path, now, 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    }

    #[test]
    fn one_that_cannot_be_removed_does_not_save_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let now = Timestamp::now();
        for nth in 0..3 {
            fs::write(&path, format!("{nth}")).unwrap();
            set_aside(&path, now, 3);
        }
        // Not even root removes a folder that way.
        let oldest = old_logs::listed(&path).remove(0);
        fs::create_dir(path.with_file_name(oldest.of_form(Form::Part))).unwrap();
        for nth in 3..6 {
            fs::write(&path, format!("{nth}")).unwrap();
            set_aside(&path, now, 3);
        }
        assert_eq!(old_texts(&path), ["3", "4", "5"]);
    }
}
