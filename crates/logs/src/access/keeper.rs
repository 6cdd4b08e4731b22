//! The thread that writes the access log.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use jiff::tz::TimeZone;
use tokio::sync::mpsc::Sender;

use super::entry::Entry;
use super::format::{Format, Formatter};
use super::{Settings, Shared, Target};
use crate::{Notice, Writer};

/// So much is written at once, and a line more.
const AT_ONCE: usize = 64 * 1024;

/// After each write the thread pauses: woken for each line, it would cost as much as the requests
/// themselves, whose thread it takes the processor from each time.
const PAUSE: Duration = Duration::from_millis(5);

/// What the thread owns.
pub(super) struct Keeper {
    formatter: Formatter,
    to: To,
    shared: Arc<Shared>,
    notices: Sender<Notice>,
    name: std::path::PathBuf,
    /// Entries that found the queue full, as far as nobody has heard of them.
    lost: u64,
}

enum To {
    File(Box<Writer>),
    StandardOutput,
}

impl Keeper {
    pub(super) fn new(settings: &Settings, shared: Arc<Shared>, notices: Sender<Notice>) -> Self {
        let (to, name) = match &settings.target {
            Target::StandardOutput => (To::StandardOutput, "standard output".into()),
            Target::File(path) => {
                let kept = crate::Settings {
                    app: settings.app.clone(),
                    format: match settings.format {
                        Format::Combined => crate::Format::Plain,
                        Format::Json => crate::Format::Json(None),
                    },
                    rotation: settings.rotation.clone(),
                    rights: settings.rights.clone(),
                };
                let writer = Writer::open(path, &kept, notices.clone());
                (To::File(Box::new(writer)), path.clone())
            }
        };
        Self {
            formatter: Formatter::new(settings.format, TimeZone::system()),
            to,
            shared,
            notices,
            name,
            lost: 0,
        }
    }

    /// Writes what comes until it is told to finish, or nobody is left to tell.
    pub(super) fn run(mut self, inbox: &Receiver<Option<Box<Entry>>>) {
        let mut lines = Vec::new();
        while let Ok(first) = inbox.recv() {
            self.format(first, &mut lines);
            while lines.len() < AT_ONCE
                && let Ok(next) = inbox.try_recv()
            {
                self.format(next, &mut lines);
            }
            // Before the lines: whoever asked had moved the file away by then.
            if self.shared.reopen.swap(false, Ordering::Relaxed)
                && let To::File(file) = &mut self.to
            {
                file.reopen();
            }
            self.write(&lines);
            let is_last = lines.len() < AT_ONCE;
            lines.clear();
            self.tell_lost();
            if is_last {
                if self.shared.finish.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(PAUSE);
            }
        }
        if let To::File(file) = self.to {
            file.close();
        }
    }

    fn format(&mut self, entry: Option<Box<Entry>>, lines: &mut Vec<u8>) {
        if let Some(entry) = entry {
            self.formatter.write(&entry, lines);
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        match &mut self.to {
            To::File(file) => file.write(lines),
            To::StandardOutput => {
                let mut out = std::io::stdout().lock();
                // Once nobody reads any more, what is written is dropped: the app goes on.
                let _ = out.write_all(lines).and_then(|()| out.flush());
            }
        }
    }

    fn tell_lost(&mut self) {
        self.lost += self.shared.lost.swap(0, Ordering::Relaxed);
        if self.lost > 0 {
            let notice = Notice::Overrun {
                path: self.name.clone(),
                lines: self.lost,
            };
            if self.notices.try_send(notice).is_ok() {
                self.lost = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{ENTRIES, Log, Outcome, Text};
    use super::*;

    fn entry(number: u64) -> Entry {
        Entry {
            id: number,
            client: None,
            at: jiff::Timestamp::now(),
            duration: Duration::ZERO,
            line: Text::of(b"GET / HTTP/1.1"),
            status: Some(200),
            bytes: 0,
            referer: None,
            user_agent: None,
            instance: None,
            outcome: Outcome::Answered,
        }
    }

    fn numbers(text: &str) -> Vec<u64> {
        let last = |line: &str| line.rsplit(' ').next().map(str::to_owned);
        let ids = text.lines().filter_map(last);
        ids.map(|id| u64::from_str_radix(&id, 16).unwrap())
            .collect()
    }

    fn settings(path: &std::path::Path) -> Settings {
        Settings {
            app: "api".into(),
            target: Target::File(path.to_owned()),
            format: Format::Combined,
            rotation: None,
            rights: safe_files::Rights::default(),
        }
    }

    #[test]
    fn everything_is_written_in_order_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/access.log");
        let (notices, _) = tokio::sync::mpsc::channel(8);
        let log = Log::start(&settings(&path), notices).unwrap();
        let queue = log.queue();
        for number in 0..1000 {
            queue.put(entry(number));
        }
        log.finish(Duration::from_secs(30));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(numbers(&text), (0..1000).collect::<Vec<_>>());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_log_that_was_moved_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let (notices, _) = tokio::sync::mpsc::channel(8);
        let log = Log::start(&settings(&path), notices).unwrap();
        log.queue().put(entry(1));
        while !std::fs::read_to_string(&path).is_ok_and(|text| !text.is_empty()) {
            std::thread::yield_now();
        }
        let moved = folder.path().join("old.log");
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.queue().put(entry(2));
        log.finish(Duration::from_secs(30));
        let text = |path| numbers(&std::fs::read_to_string(path).unwrap());
        assert_eq!((text(&moved), text(&path)), (vec![1], vec![2]));
    }

    /// What is lost because nothing is written is counted, and told of when it goes on.
    #[test]
    fn whoever_serves_requests_never_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let name = rustix::fs::CWD;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(name, &path, kind, 0o600.into(), 0).unwrap();
        // It can be opened, and takes no more than fits into it.
        let reader = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let (notices, mut told) = tokio::sync::mpsc::channel(64);
        let log = Log::start(&settings(&path), notices).unwrap();
        let queue = log.queue();
        // More than all pipes and buffers hold.
        let many = 3 * ENTRIES as u64 + 2000;
        for number in 0..many {
            queue.put(entry(number));
        }
        assert!(queue.shared.lost.load(Ordering::Relaxed) > 0);
        let read = std::thread::spawn(move || {
            let mut reader = std::io::BufReader::new(reader);
            let mut lines = 0;
            let mut line = String::new();
            while std::io::BufRead::read_line(&mut reader, &mut line).is_ok() {
                if line.ends_with("00dead\n") {
                    break;
                }
                lines += 1;
                line.clear();
            }
            lines
        });
        let mut lost = 0;
        let mut count = |notice| match notice {
            Notice::Overrun { lines, .. } => lost += lines,
            other => panic!("{other:?}"),
        };
        count(told.blocking_recv().unwrap());
        queue.put(entry(0xdead));
        let written = read.join().unwrap();
        while let Ok(notice) = told.try_recv() {
            count(notice);
        }
        assert_eq!(written + lost, many);
    }
}
