//! Going back: lines that stand in the old logs of a file, because it was rotated.
//!
//! Nothing but the place where they begin is kept in memory: a compressed log is read twice, first
//! to count its lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use memchr::memchr_iter;

use super::last_lines;
use crate::gather::Gather;
use crate::old_logs::{self, Form, OldLog};
use safe_files::{self, Folder, How, Place};

/// What is read at once.
const READ: usize = 64 * 1024;

/// The last lines that were written before those of a file.
#[derive(Debug)]
pub(super) struct Past {
    /// Where they lie.
    place: Option<Place>,
    /// The newest first.
    pieces: Vec<Piece>,
    /// Why it does not go back further, if it should.
    pub(super) fault: Option<anyhow::Error>,
}

#[derive(Debug)]
struct Piece {
    log: OldLog,
    from: From,
}

/// Where the lines begin in a log, once it is not compressed.
#[derive(Clone, Copy, Debug)]
enum From {
    Byte(u64),
    Line(u64),
}

impl Past {
    /// Finds the last `wanted` lines before those of the file that was opened at this path, and
    /// is known by its device and number.
    pub(super) fn find(path: &Path, opened: (u64, u64), wanted: usize) -> Self {
        let mut past = Self {
            place: None,
            pieces: Vec::new(),
            fault: None,
        };
        past.fault = past.go_back(path, opened, wanted).err();
        past
    }

    fn go_back(
        &mut self,
        path: &Path,
        opened: (u64, u64),
        mut wanted: usize,
    ) -> anyhow::Result<()> {
        let listing = || format!("listing the old logs of {}", path.display());
        let place = safe_files::look(path).with_context(listing)?;
        let mut logs = old_logs::list(&place.folder, &place.name).with_context(listing)?;
        let Place { folder, .. } = self.place.insert(place);
        // It may have been rotated since it was opened, and others after it.
        let is_opened = |log: &OldLog| {
            let stat = folder.stat(log.name()).ok().flatten();
            stat.is_some_and(|stat| (stat.st_dev, stat.st_ino) == opened)
        };
        if let Some(at) = logs.iter().position(is_opened) {
            logs.truncate(at);
        }
        while let Some(log) = logs.pop().filter(|_| wanted > 0) {
            let found = lines_from(folder, &log, wanted).with_context(|| reading(folder, &log))?;
            let Some((from, missing)) = found else {
                // Its time has come, and so had that of the older ones.
                break;
            };
            wanted = missing;
            self.pieces.push(Piece { log, from });
        }
        Ok(())
    }

    /// Passes the lines on, the oldest first.
    ///
    /// # Errors
    /// If a log cannot be read.
    pub(super) fn show(&self, lines: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
        let Some(Place { folder, .. }) = &self.place else {
            return Ok(());
        };
        for piece in self.pieces.iter().rev() {
            let shown = piece.show(folder, lines);
            shown.with_context(|| reading(folder, &piece.log))?;
        }
        Ok(())
    }
}

impl Piece {
    fn show(&self, folder: &Folder, lines: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        // One that was removed meanwhile is not missed.
        let mut from: Box<dyn BufRead> = match open(folder, &self.log)? {
            Some(Opened::Plain(file)) => Box::new(BufReader::with_capacity(READ, file)),
            Some(Opened::Compressed(decoder)) => Box::new(BufReader::with_capacity(READ, *decoder)),
            None => return Ok(()),
        };
        match self.from {
            From::Byte(offset) => {
                io::copy(&mut from.by_ref().take(offset), &mut io::sink())?;
            }
            From::Line(count) => skip_lines(&mut from, count)?,
        }
        let mut gather = Gather::default();
        loop {
            let bytes = from.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            gather.push(bytes, &mut *lines);
            let read = bytes.len();
            from.consume(read);
        }
        gather.cut(lines);
        Ok(())
    }
}

enum Opened {
    Plain(File),
    Compressed(Box<MultiGzDecoder<File>>),
}

/// Opens a log in the form that it has by now; `None` if it is gone.
fn open(folder: &Folder, log: &OldLog) -> io::Result<Option<Opened>> {
    // In this order: one that is compressed meanwhile is found all the same.
    for form in [Form::Plain, Form::Compressed] {
        match folder.open(&log.of_form(form), How::Read) {
            Ok(file) if form == Form::Plain => return Ok(Some(Opened::Plain(file))),
            Ok(file) => {
                let decoder = Box::new(MultiGzDecoder::new(file));
                return Ok(Some(Opened::Compressed(decoder)));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Where the last `wanted` lines begin, and how many fewer there are; `None` if the log is gone.
fn lines_from(folder: &Folder, log: &OldLog, wanted: usize) -> io::Result<Option<(From, usize)>> {
    Ok(match open(folder, log)? {
        Some(Opened::Plain(file)) => {
            let size = file.metadata()?.len();
            let last = last_lines::find(&file, size, wanted)?;
            Some((From::Byte(last.start), last.missing))
        }
        Some(Opened::Compressed(mut decoder)) => {
            let lines = count_lines(&mut *decoder)?;
            let wanted = wanted as u64;
            let missing = usize::try_from(wanted.saturating_sub(lines)).unwrap_or(usize::MAX);
            Some((From::Line(lines.saturating_sub(wanted)), missing))
        }
        None => None,
    })
}

fn count_lines(from: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = vec![0; READ];
    let mut lines = 0;
    let mut torn = false;
    loop {
        let read = match from.read(&mut bytes) {
            Ok(0) => return Ok(lines + u64::from(torn)),
            Ok(read) => bytes.get(..read).unwrap_or(&[]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        lines += memchr_iter(b'\n', read).count() as u64;
        torn = read.last() != Some(&b'\n');
    }
}

fn skip_lines(from: &mut dyn BufRead, mut count: u64) -> io::Result<()> {
    while count > 0 {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        let mut skipped = bytes.len();
        for at in memchr_iter(b'\n', bytes) {
            count -= 1;
            if count == 0 {
                skipped = at + 1;
                break;
            }
        }
        from.consume(skipped);
    }
    Ok(())
}

fn reading(folder: &Folder, log: &OldLog) -> String {
    let path = folder.path().join(log.of_form(log.form()));
    format!("reading {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;
    use std::time::{Duration, SystemTime};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    struct Bench {
        _folder: tempfile::TempDir,
        path: PathBuf,
        old: u64,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.log");
            fs::write(&path, "now\n").unwrap();
            Self {
                _folder: folder,
                path,
                old: 0,
            }
        }

        /// One more old log, newer than those before.
        fn add(&mut self, text: &str, gzip: bool) -> PathBuf {
            let known = old_logs::listed(&self.path);
            let log = self.path.file_name().unwrap();
            let name = old_logs::next_name(log, "2026-03-07_09-05-03", &known);
            let mut name = self.path.with_file_name(name);
            let mut bytes = text.as_bytes().to_vec();
            if gzip {
                name.as_mut_os_string().push(".gz");
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&bytes).unwrap();
                bytes = encoder.finish().unwrap();
            }
            fs::write(&name, bytes).unwrap();
            self.old += 1;
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(self.old);
            File::open(&name).unwrap().set_modified(written).unwrap();
            name
        }

        fn find(&self, of: &Path, wanted: usize) -> Past {
            let meta = fs::metadata(of).unwrap();
            Past::find(&self.path, (meta.dev(), meta.ino()), wanted)
        }

        fn last(&self, wanted: usize) -> String {
            let past = self.find(&self.path, wanted);
            assert!(past.fault.is_none(), "{:?}", past.fault);
            shown(&past)
        }
    }

    fn shown(past: &Past) -> String {
        let mut text = Vec::new();
        past.show(&mut |lines| text.extend_from_slice(lines))
            .unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn it_goes_back_as_far_as_is_asked_for_and_no_further() {
        let mut bench = Bench::new();
        assert_eq!(bench.last(3), "");
        bench.add("1\n2\n3\n", true);
        // The last one was cut off by a full disk.
        bench.add("4\n5", false);
        bench.add("6\n7\n", true);
        bench.add("8\n", false);
        let all = "1\n2\n3\n4\n5\n6\n7\n8\n";
        for wanted in 0..=8 {
            let expected = all.get(all.len() - 2 * wanted..).unwrap();
            assert_eq!(bench.last(wanted), expected);
        }
        assert_eq!(bench.last(usize::MAX), all);
    }

    #[test]
    fn logs_that_are_newer_than_the_one_opened_are_not_its_past() {
        let mut bench = Bench::new();
        bench.add("1\n", false);
        let opened = bench.add("2\n", false);
        bench.add("3\n", false);
        assert_eq!(shown(&bench.find(&opened, 5)), "1\n");
    }

    #[test]
    fn one_that_is_compressed_or_removed_meanwhile_does_no_harm() {
        let mut bench = Bench::new();
        let removed = bench.add("1\n2\n", false);
        let compressed = bench.add("3\n4\n5\n", false);
        bench.add("6\n", false);
        let past = bench.find(&bench.path, 3);
        let longer = bench.find(&bench.path, 5);
        let text = fs::read(&compressed).unwrap();
        fs::remove_file(&compressed).unwrap();
        fs::remove_file(removed).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).unwrap();
        let mut name = compressed;
        name.as_mut_os_string().push(".gz");
        fs::write(name, encoder.finish().unwrap()).unwrap();
        assert_eq!(shown(&past), "4\n5\n6\n");
        assert_eq!(shown(&longer), "3\n4\n5\n6\n");
    }

    #[test]
    fn a_damaged_log_is_told_of_and_hides_no_newer_ones() {
        let mut bench = Bench::new();
        bench.add("1\n", false);
        let damaged = bench.add("2\n", true);
        bench.add("3\n", false);
        fs::write(&damaged, "no gzip").unwrap();
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(2);
        File::open(damaged).unwrap().set_modified(written).unwrap();
        let past = bench.find(&bench.path, 5);
        assert_eq!(shown(&past), "3\n");
        let fault = past.fault.unwrap().to_string();
        assert!(fault.contains("a__2026-03-07_09-05-03_1.log"), "{fault}");
    }
}
