//! Following a log: what is appended, also after it was emptied or rotated.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

use rustix::fs::OFlags;
use rustix::fs::inotify::{self, WatchFlags};

use super::past::Past;
use super::{Entry, last_lines};
use crate::gather::Gather;

/// What is read at once.
const READ: usize = 64 * 1024;

/// A log that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) entry: Entry,
    open: Option<Open>,
    gather: Gather,
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: (u64, u64),
    offset: u64,
}

impl Followed {
    pub(super) fn new(entry: Entry) -> Self {
        Self {
            entry,
            open: None,
            gather: Gather::default(),
        }
    }

    /// Opens the log at its last `lines` lines; how many fewer there are, or `None` if it is not
    /// there. What is no file, such as `/dev/stdout`, is not.
    ///
    /// # Errors
    /// If it is there, and cannot be read.
    pub(super) fn open(
        &mut self,
        lines: usize,
        inotify: Option<BorrowedFd<'_>>,
    ) -> io::Result<Option<usize>> {
        let Some(mut open) = Open::new(&self.entry, inotify)? else {
            return Ok(None);
        };
        let size = open.file.metadata()?.len();
        let last = last_lines::find(&open.file, size, lines)?;
        open.offset = last.start;
        open.file.seek(SeekFrom::Start(open.offset))?;
        self.open = Some(open);
        Ok(Some(last.missing))
    }

    /// So many of the last lines before those of the file that is open.
    pub(super) fn past(&self, lines: usize) -> Option<Past> {
        let open = self.open.as_ref().filter(|_| lines > 0)?;
        Some(Past::find(&self.entry.path, open.identity, lines))
    }

    /// Passes on what is new, in whole lines.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn read(
        &mut self,
        inotify: Option<BorrowedFd<'_>>,
        lines: &mut dyn FnMut(&Entry, &[u8]),
    ) -> io::Result<()> {
        loop {
            // In this order: once another file has its name, nothing more comes to this one.
            let named = fs::metadata(&self.entry.path).ok();
            if let Some(open) = &mut self.open {
                let entry = &self.entry;
                open.drain(&mut self.gather, &mut |piece| lines(entry, piece))?;
            }
            let found = named.map(|meta| (meta.dev(), meta.ino()));
            let current = self.open.as_ref().map(|open| open.identity);
            // While nothing has its name, the old one may still be written.
            if found.is_none() || found == current {
                return Ok(());
            }
            match Open::new(&self.entry, inotify)? {
                Some(open) => self.open = Some(open),
                None => return Ok(()),
            }
        }
    }

    /// Passes on an unfinished last line too.
    pub(super) fn finish(&mut self, lines: &mut dyn FnMut(&Entry, &[u8])) {
        let entry = &self.entry;
        self.gather.cut(|piece| lines(entry, piece));
    }
}

impl Open {
    /// The file at its beginning, if there is one.
    fn new(entry: &Entry, inotify: Option<BorrowedFd<'_>>) -> io::Result<Option<Self>> {
        let opened = File::options()
            .read(true)
            .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
            .open(&entry.path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        if let Some(inotify) = inotify {
            // Exactly this file, whatever has its name by now.
            let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
            inotify::add_watch(inotify, path, WatchFlags::MODIFY)?;
        }
        Ok(Some(Self {
            identity: (meta.dev(), meta.ino()),
            file,
            offset: 0,
        }))
    }

    fn drain(&mut self, gather: &mut Gather, lines: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        if self.file.metadata()?.len() < self.offset {
            // It was emptied.
            self.offset = 0;
            self.file.rewind()?;
            *gather = Gather::default();
        }
        let mut bytes = vec![0; READ];
        loop {
            let read = match self.file.read(&mut bytes) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read == 0 {
                return Ok(());
            }
            self.offset += read as u64;
            gather.push(bytes.get(..read).unwrap_or(&[]), &mut *lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;
    use crate::Stream;
    use crate::view::Voice;
    use safe_files::Rights;
    use telemetry::ids::InstanceId;

    struct Log {
        _folder: tempfile::TempDir,
        path: PathBuf,
        followed: Followed,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            let followed = Followed::new(Entry {
                app: "a".into(),
                voice: Voice::Worker {
                    id: InstanceId(0),
                    stream: Stream::Out,
                },
                path: path.clone(),
                rights: Rights::default(),
            });
            Self {
                _folder: folder,
                path,
                followed,
            }
        }

        fn append(&self, text: &str) {
            let mut options = OpenOptions::new();
            let mut file = options.append(true).create(true).open(&self.path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn read(&mut self) -> String {
            let mut text = Vec::new();
            let mut note = |_: &Entry, lines: &[u8]| text.extend_from_slice(lines);
            self.followed.read(None, &mut note).unwrap();
            String::from_utf8(text).unwrap()
        }
    }

    #[test]
    fn it_begins_with_the_last_lines() {
        let mut log = Log::new();
        log.append("a\nb\nc\nd");
        assert_eq!(log.followed.open(2, None).unwrap(), Some(0));
        assert_eq!(log.read(), "c\n");
        log.append("e\n");
        assert_eq!(log.read(), "de\n");
    }

    #[test]
    fn a_log_that_begins_later_is_read_from_its_beginning() {
        let mut log = Log::new();
        assert_eq!(log.followed.open(2, None).unwrap(), None);
        assert_eq!(log.read(), "");
        log.append("a\nb\nc\n");
        assert_eq!(log.read(), "a\nb\nc\n");
    }

    #[test]
    fn nothing_is_lost_or_repeated_over_a_rotation() {
        let mut log = Log::new();
        log.append("a\n");
        log.followed.open(0, None).unwrap();
        log.append("b\n");
        let old = log.path.with_extension("old");
        fs::rename(&log.path, &old).unwrap();
        assert_eq!(log.read(), "b\n");
        log.append("d\n");
        let mut file = OpenOptions::new().append(true).open(&old).unwrap();
        file.write_all(b"c\n").unwrap();
        assert_eq!(log.read(), "c\nd\n");
        log.append("e\n");
        assert_eq!(log.read(), "e\n");
    }

    #[test]
    fn an_emptied_log_is_followed_on() {
        let mut log = Log::new();
        log.append("long line\n");
        log.followed.open(0, None).unwrap();
        fs::write(&log.path, "").unwrap();
        assert_eq!(log.read(), "");
        log.append("x\n");
        assert_eq!(log.read(), "x\n");
    }
}
