//! Reading several logs at once: their last lines, then what comes, as the kernel tells of it.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;

use super::follow::Followed;
use super::show::Printer;
use super::{Catalog, Entry, Form, Request, Voice, show};
use crate::Stream;

/// Shows logs, and follows them.
pub(super) struct Reader<'a> {
    request: &'a Request,
    inotify: Option<OwnedFd>,
    followed: Vec<Followed>,
    /// Folders in which new logs are seen.
    folders: BTreeSet<PathBuf>,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// If the kernel refuses to watch anything.
    pub(super) fn new(
        request: &'a Request,
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
    ) -> anyhow::Result<Self> {
        let inotify = match request.follow {
            true => Some(inotify::init(CreateFlags::CLOEXEC).map_err(limit)?),
            false => None,
        };
        Ok(Self {
            request,
            inotify,
            followed: Vec::new(),
            folders: BTreeSet::new(),
            out,
            err,
        })
    }

    /// Shows what there is; returns then, or follows until writing fails.
    ///
    /// # Errors
    /// If the logs cannot be listed, watched or read, and those of writing.
    pub(super) fn run(&mut self, catalog: &mut dyn Catalog) -> anyhow::Result<()> {
        self.find(catalog)?;
        // As pm2 does: what was written last stands last.
        self.followed.sort_by_key(|log| {
            std::fs::metadata(&log.entry.path)
                .and_then(|m| m.modified())
                .ok()
        });
        self.title()?;
        for at in 0..self.followed.len() {
            self.show_last(at)?;
        }
        self.out.flush()?;
        let mut buffer = [MaybeUninit::uninit(); 4096];
        while self.inotify.is_some() {
            match self.wait(&mut buffer)? {
                Woken::Logs => {}
                Woken::NewLogs => self.find(catalog)?,
                Woken::End => {
                    self.find(catalog)?;
                    return self.show_new();
                }
            }
            self.show_new()?;
        }
        Ok(())
    }

    /// Asks for the logs that there are, and takes up those that are new.
    fn find(&mut self, catalog: &mut dyn Catalog) -> anyhow::Result<()> {
        // What appeared in a folder before it was watched is found by asking once more.
        while self.take_up(catalog.entries()?)? {}
        Ok(())
    }

    /// Whether another folder is watched now.
    fn take_up(&mut self, entries: Vec<Entry>) -> anyhow::Result<bool> {
        for entry in entries {
            let wanted = self.request.wants(&entry);
            let known = self.followed.iter().any(|log| log.entry.path == entry.path);
            if !wanted || known {
                continue;
            }
            self.followed.push(Followed::new(entry));
        }
        self.watch_folders()
    }

    /// Watches the folders of logs; of one that is not there yet the nearest one above it that is. Whether
    /// another folder is watched now.
    fn watch_folders(&mut self) -> anyhow::Result<bool> {
        let Some(inotify) = &self.inotify else {
            return Ok(false);
        };
        let before = self.folders.len();
        let folders = self.followed.iter().map(|log| log.entry.path.parent());
        for folder in folders.map(|folder| folder.unwrap_or(Path::new("/"))) {
            for folder in folder.ancestors() {
                if self.folders.contains(folder) {
                    break;
                }
                let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
                match inotify::add_watch(inotify, folder, flags) {
                    Ok(_) => {
                        self.folders.insert(folder.to_owned());
                        break;
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) => {}
                    Err(error) => return Err(limit(error)),
                }
            }
        }
        Ok(self.folders.len() > before)
    }

    fn title(&mut self) -> io::Result<()> {
        let Request { lines, target, .. } = self.request;
        if *lines == 0 || !self.request.view.has_headers() {
            return Ok(());
        }
        let processes = if target == "all" {
            "processes"
        } else {
            "process"
        };
        let mut text = Vec::new();
        self.request.view.title(
            &format!(
                "[TAILING] Tailing last {lines} lines for [{}] {processes} (change the value with \
                 --lines option)",
                show::printable(target)
            ),
            &mut text,
        );
        self.out.write_all(&text)
    }

    fn show_last(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(log) = self.followed.get_mut(at) else {
            return Ok(());
        };
        let inotify = self.inotify.as_ref().map(AsFd::as_fd);
        let opened = log.open(self.request.lines, inotify);
        let Some(missing) = opened.with_context(|| reading(&log.entry))? else {
            return Ok(());
        };
        let headers = self.request.lines > 0 && self.request.view.has_headers();
        if headers {
            let mut text = Vec::new();
            let lines = self.request.lines;
            self.request.view.header(&log.entry, lines, &mut text);
            self.out.write_all(&text)?;
        }
        self.show_past(at, missing)?;
        self.read(at, None)?;
        if headers {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Shows so many lines that were rotated away. If they cannot be read, that hides no newer
    /// ones.
    fn show_past(&mut self, at: usize, lines: usize) -> anyhow::Result<()> {
        let width = self.width();
        let Some((entry, past)) = self.followed.get(at).and_then(|log| {
            let past = log.past(lines)?;
            Some((&log.entry, past))
        }) else {
            return Ok(());
        };
        let mut printer = printer(self.request, entry.voice, width, self.out, self.err);
        let shown = past.show(&mut |lines| printer.lines(entry, lines, None));
        printer.finish()?;
        if let Some(fault) = shown.err().or(past.fault) {
            let fault = format!("maitred: not all older lines are shown: {fault:#}");
            writeln!(self.err, "{}", show::printable(&fault))?;
        }
        Ok(())
    }

    fn show_new(&mut self) -> anyhow::Result<()> {
        let now = Timestamp::now();
        for at in 0..self.followed.len() {
            self.read(at, Some(now))?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// Shows what one log has to offer.
    fn read(&mut self, at: usize, now: Option<Timestamp>) -> anyhow::Result<()> {
        let width = self.width();
        let Some(log) = self.followed.get_mut(at) else {
            return Ok(());
        };
        let voice = log.entry.voice;
        let mut printer = printer(self.request, voice, width, self.out, self.err);
        let mut show = |entry: &Entry, lines: &[u8]| printer.lines(entry, lines, now);
        let inotify = self.inotify.as_ref().map(AsFd::as_fd);
        let read = log.read(inotify, &mut show);
        if inotify.is_none() {
            log.finish(&mut show);
        }
        read.with_context(|| reading(&log.entry))?;
        printer.finish()?;
        Ok(())
    }

    fn width(&self) -> usize {
        let longest = self.followed.iter().map(|log| log.entry.label().len());
        longest.max().unwrap_or(0).max(8)
    }

    /// Waits until something happens to a log.
    fn wait(&self, buffer: &mut [MaybeUninit<u8>]) -> anyhow::Result<Woken> {
        let Some(inotify) = &self.inotify else {
            return Ok(Woken::End);
        };
        if self.request.on_stdout && wait_for(inotify, self.request.until.as_deref())? {
            return Ok(Woken::End);
        }
        let mut new = false;
        let mut reader = inotify::Reader::new(inotify.as_fd(), buffer);
        loop {
            match reader.next() {
                // Created or renamed: only events of folders tell a name. Lost ones may be both.
                Ok(event) => {
                    let lost = inotify::ReadFlags::QUEUE_OVERFLOW;
                    new |= event.file_name().is_some() || event.events().contains(lost);
                }
                Err(Errno::INTR) => continue,
                Err(error) => return Err(limit(error)),
            }
            if reader.is_buffer_empty() {
                return Ok(match new {
                    true => Woken::NewLogs,
                    false => Woken::Logs,
                });
            }
        }
    }
}

/// Why waiting is over.
enum Woken {
    Logs,
    /// There may be logs that are not known yet.
    NewLogs,
    /// Nothing more comes.
    End,
}

/// Where the lines of a log go.
fn printer<'a>(
    request: &'a Request,
    voice: Voice,
    width: usize,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
) -> Printer<'a> {
    let is_error = matches!(
        voice,
        Voice::Worker {
            stream: Stream::Err,
            ..
        }
    );
    let split = request.view.form == Form::Raw && is_error;
    Printer::new(&request.view, width, if split { err } else { out })
}

fn reading(entry: &Entry) -> String {
    format!("reading {}", entry.path.display())
}

/// Waits until something happens to a log, or nobody reads our standard output any more; whether
/// the end has come that the request names.
fn wait_for(inotify: &OwnedFd, until: Option<&OwnedFd>) -> anyhow::Result<bool> {
    let stdout = io::stdout();
    loop {
        let mut fds = vec![
            PollFd::new(inotify, PollFlags::IN),
            // Asked for nothing, it tells of its end all the same.
            PollFd::new(&stdout, PollFlags::empty()),
        ];
        fds.extend(until.map(|until| PollFd::new(until, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(error) => return Err(limit(error)),
            Ok(_) => {}
        }
        let events = |at: usize| fds.get(at).map_or(PollFlags::empty(), PollFd::revents);
        if events(1).intersects(PollFlags::ERR | PollFlags::HUP) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        if !events(2).is_empty() {
            return Ok(true);
        }
        if !events(0).is_empty() {
            return Ok(false);
        }
    }
}

/// Why the kernel does not watch, and what helps.
fn limit(error: Errno) -> anyhow::Error {
    match error {
        Errno::MFILE => anyhow::anyhow!(
            "this user watches too many things already: raise fs.inotify.max_user_instances \
             (sysctl), or use --nostream"
        ),
        Errno::NOSPC => anyhow::anyhow!(
            "this user watches too many files already: raise fs.inotify.max_user_watches \
             (sysctl), or use --nostream"
        ),
        error => anyhow::Error::new(io::Error::from(error)).context("watching the logs"),
    }
}
