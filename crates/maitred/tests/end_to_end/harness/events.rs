//! Reads the events that maitred appends to a file, as they come.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use serde_json::Value;

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) index: usize,
    pub(crate) json: Value,
}

impl Event {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.json["event"] == name
    }

    pub(crate) fn instance(&self) -> u64 {
        self.number("instance")
    }

    pub(crate) fn pid(&self) -> i32 {
        self.number("pid") as i32
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        match self.json[field].as_u64() {
            Some(number) => number,
            None => panic!("no number {field} in {}", self.json),
        }
    }

    /// The sum of a figure over all workers.
    pub(crate) fn sum(&self, figure: &str) -> u64 {
        let listeners = self.json["listeners"].as_array().into_iter().flatten();
        listeners
            .flat_map(|listener| listener["workers"].as_array().into_iter().flatten())
            .map(|worker| worker[figure].as_u64().unwrap())
            .sum()
    }

    pub(crate) fn text(&self, field: &str) -> &str {
        match self.json[field].as_str() {
            Some(text) => text,
            None => panic!("no text {field} in {}", self.json),
        }
    }
}

pub(super) struct Events {
    file: File,
    /// Readable when the file has grown.
    grown: OwnedFd,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    pub(super) seen: Vec<Event>,
}

impl Events {
    pub(super) fn follow(path: &Path) -> Events {
        // The watch comes first, so that nothing written before the first read goes unnoticed.
        let file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .unwrap();
        let grown =
            inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&grown, path, inotify::WatchFlags::MODIFY).unwrap();
        Events {
            file,
            grown,
            partial: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Takes in what was written since the last call.
    pub(super) fn read(&mut self) {
        let mut news = Vec::new();
        self.file.read_to_end(&mut news).unwrap();
        for byte in news {
            if byte != b'\n' {
                self.partial.push(byte);
                continue;
            }
            let json = match serde_json::from_slice(&self.partial) {
                Ok(json) => json,
                Err(error) => panic!(
                    "not an event: {:?}: {error}",
                    String::from_utf8_lossy(&self.partial)
                ),
            };
            self.partial.clear();
            self.seen.push(Event {
                index: self.seen.len(),
                json,
            });
        }
    }

    /// Waits until the file grows or `other` becomes readable. Tells whether it was `other`; at
    /// the deadline, nothing.
    pub(super) fn wait(&self, other: BorrowedFd<'_>, deadline: Instant) -> Option<bool> {
        let mut fds = [
            PollFd::new(&self.grown, PollFlags::IN),
            PollFd::from_borrowed_fd(other, PollFlags::IN),
        ];
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now())).unwrap();
        if poll(&mut fds, Some(&left)).unwrap() == 0 {
            return None;
        }
        let other = !fds[1].revents().is_empty();
        let mut notices = [0; 4096];
        // Only that there were any matters; there may be none, if it was the other one.
        let _ = rustix::io::read(self.grown.as_fd(), &mut notices);
        Some(other)
    }
}
