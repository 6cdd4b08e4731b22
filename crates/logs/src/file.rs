//! One log file: it is appended to, rotated, opened again when somebody has moved it away, and
//! outlives a full disk.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{Stat, fstat};

use super::compressor::Compressor;
use super::format::Format;
use super::rotation::{self, Rotation};
use super::{Notice, Settings};
use safe_files::{Opened, Place, Rights};

/// How often, at most, it is looked whether the file still stands under its name, and how often
/// what has failed is tried again.
const LOOK: SignedDuration = SignedDuration::from_secs(1);

/// Which file a path leads to.
type Identity = (u64, u64);

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    app: String,
    path: PathBuf,
    rights: Rights,
    open: Option<Open>,
    format: Format,
    rotation: Option<Rotation>,
    /// When it is to be rotated next.
    next_rotation: Option<Timestamp>,
    /// After a rotation that failed, the size at which it is tried again.
    next_size: Option<u64>,
    looked: Timestamp,
    /// What could not be written, since when it has not been told.
    lost: Lost,
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: Identity,
    /// Where a regular file lies. Only what can be renamed is rotated: not `/dev/stdout`.
    place: Option<Place>,
    size: u64,
    /// The last thing written is not a whole line.
    torn: bool,
}

#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    bytes: u64,
    reason: String,
}

impl LogFile {
    /// Opens a log, and makes its folder if that is missing.
    pub(super) fn open(
        path: &Path,
        settings: &Settings,
        compressor: &mut Compressor,
        tell: &mut dyn FnMut(Notice),
    ) -> Self {
        let now = Timestamp::now();
        let mut log = Self {
            app: settings.app.clone(),
            path: path.to_owned(),
            rights: settings.rights.clone(),
            open: None,
            format: settings.format.clone(),
            rotation: settings.rotation.clone(),
            next_rotation: None,
            next_size: None,
            looked: now,
            lost: Lost::default(),
        };
        log.plan_rotation(now);
        log.reopen(now, tell);
        // A supervisor before us may not have come to all.
        log.compress(compressor);
        log
    }

    /// Appends whole lines. If that cannot be done they are dropped, and counted.
    pub(super) fn write(
        &mut self,
        lines: &[u8],
        now: Timestamp,
        compressor: &mut Compressor,
        tell: &mut dyn FnMut(Notice),
    ) {
        self.look(now, tell);
        self.rotate_if_due(lines.len(), now, compressor, tell);
        let note = (self.lost.lines > 0).then(|| self.lost_note(now));
        let Some(open) = &mut self.open else {
            self.lose(lines, None, tell);
            return;
        };
        if open.torn || note.is_some() {
            let mut first = Vec::new();
            if open.torn {
                first.push(b'\n');
            }
            first.extend_from_slice(note.as_deref().unwrap_or(&[]));
            if let Err((_, error)) = open.append(&first) {
                self.lose(lines, Some(&error), tell);
                return;
            }
            self.tell_lost(tell);
        }
        let Some(open) = &mut self.open else { return };
        if let Err((written, error)) = open.append(lines) {
            let rest = lines.get(written..).unwrap_or(&[]);
            self.lose(rest, Some(&error), tell);
        }
    }

    /// From now on it is kept so.
    pub(super) fn change(&mut self, settings: &Settings, now: Timestamp) {
        self.format = settings.format.clone();
        self.rotation = settings.rotation.clone();
        self.next_size = None;
        self.plan_rotation(now);
    }

    /// Opens the file again under its name, as after an outside rotation.
    pub(super) fn reopen(&mut self, now: Timestamp, tell: &mut dyn FnMut(Notice)) {
        self.looked = now;
        match self.rights.append(&self.path).and_then(Open::new) {
            Ok(open) => self.open = Some(open),
            Err(error) => {
                if self.open.take().is_some() || self.lost.reason.is_empty() {
                    self.fail(&error, tell);
                }
            }
        }
    }

    /// The last words about lines that were lost.
    pub(super) fn close(mut self, tell: &mut dyn FnMut(Notice)) {
        if self.lost.lines > 0 {
            self.tell_lost(tell);
        }
    }

    /// Once a second at most: whether the file is still the one of this name, and how large.
    fn look(&mut self, now: Timestamp, tell: &mut dyn FnMut(Notice)) {
        let since = now.duration_since(self.looked);
        if since.abs() < LOOK {
            return;
        }
        self.looked = now;
        let found = self.rights.stat(&self.path).ok().flatten();
        match (&mut self.open, found) {
            (Some(open), Some(stat)) if open.identity == identity(&stat) => {
                // Somebody may have emptied it.
                open.size = size(&stat);
            }
            _ => self.reopen(now, tell),
        }
    }

    fn rotate_if_due(
        &mut self,
        more: usize,
        now: Timestamp,
        compressor: &mut Compressor,
        tell: &mut dyn FnMut(Notice),
    ) {
        let (Some(open), Some(rotation)) = (&self.open, &self.rotation) else {
            return;
        };
        let due = self.next_rotation.is_some_and(|next| next <= now);
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let limit = self.next_size.or(rotation.size);
        let full = limit.is_some_and(|limit| open.size.saturating_add(more) > limit);
        if !due && !full {
            return;
        }
        if due {
            self.next_rotation = rotation.after(now);
        }
        let Some(place) = open.place.as_ref().filter(|_| open.size > 0) else {
            return;
        };
        // Another one may have rotated it just now.
        let found = place.folder.stat(&place.name).ok().flatten();
        let ours = found.is_some_and(|stat| open.identity == identity(&stat));
        let (size, keep) = (open.size, rotation.keep);
        if ours && let Err(error) = rotation::set_aside(place, now, keep) {
            // It grows on; the next try comes when it has grown by as much again.
            tell(Notice::NotRotated {
                path: self.path.clone(),
                reason: error.to_string(),
            });
            self.next_size = Some(size.saturating_mul(2));
            return;
        }
        self.next_size = None;
        self.reopen(now, tell);
        if ours {
            self.compress(compressor);
        }
    }

    /// Has the old logs compressed, if that is wanted.
    fn compress(&self, compressor: &mut Compressor) {
        let gzip = self.rotation.as_ref().is_some_and(|rotation| rotation.gzip);
        let place = self.open.as_ref().and_then(|open| open.place.as_ref());
        if let Some(place) = place.filter(|_| gzip) {
            compressor.ask(&self.path, place);
        }
    }

    fn plan_rotation(&mut self, now: Timestamp) {
        let rotation = self.rotation.as_ref();
        self.next_rotation = rotation.and_then(|rotation| rotation.after(now));
    }

    fn lose(&mut self, lines: &[u8], error: Option<&io::Error>, tell: &mut dyn FnMut(Notice)) {
        if let Some(error) = error
            && self.lost.lines == 0
        {
            self.fail(error, tell);
        }
        self.lost.lines += memchr::memchr_iter(b'\n', lines).count() as u64;
        self.lost.bytes += lines.len() as u64;
    }

    fn fail(&mut self, error: &io::Error, tell: &mut dyn FnMut(Notice)) {
        self.lost.reason = error.to_string();
        tell(Notice::Failing {
            path: self.path.clone(),
            reason: self.lost.reason.clone(),
        });
    }

    fn lost_note(&self, now: Timestamp) -> Vec<u8> {
        let Lost { lines, reason, .. } = &self.lost;
        let text = format!("{lines} lines could not be written here: {reason}");
        self.format.note(&self.app, now, &text)
    }

    fn tell_lost(&mut self, tell: &mut dyn FnMut(Notice)) {
        let Lost { lines, bytes, .. } = std::mem::take(&mut self.lost);
        if lines > 0 {
            tell(Notice::Lost {
                path: self.path.clone(),
                lines,
                bytes,
            });
        }
    }
}

impl Open {
    fn new(opened: Opened) -> io::Result<Self> {
        let Opened { file, place } = opened;
        let stat = fstat(&file)?;
        let is_file = file.metadata()?.is_file();
        if !is_file {
            // A named pipe that nobody reads did not hold us up when it was opened; now it may.
            rustix::io::ioctl_fionbio(&file, false)?;
        }
        Ok(Self {
            identity: identity(&stat),
            place: place.filter(|_| is_file),
            size: size(&stat),
            torn: false,
            file,
        })
    }

    /// Writes everything, or says how much was written before the error.
    fn append(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.torn = rest.get(written - 1) != Some(&b'\n');
                    done += written;
                    self.size += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }
}

fn identity(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
