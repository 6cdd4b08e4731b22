//! A log that is written by somebody other than a worker.

use std::path::Path;

use jiff::Timestamp;
use tokio::sync::mpsc::Sender;

use super::compressor::Compressor;
use super::file::LogFile;
use super::{Notice, Settings};

/// A log file with all that the workers' have: rotation, opening again, counting what is lost.
#[derive(Debug)]
pub(crate) struct Writer {
    log: LogFile,
    compressor: Compressor,
    notices: Sender<Notice>,
}

impl Writer {
    /// Opens the log. What is wrong with it is told; notices that find `notices` full are dropped.
    pub(crate) fn open(path: &Path, settings: &Settings, notices: Sender<Notice>) -> Self {
        let mut compressor = Compressor::default();
        let log = LogFile::open(path, settings, &mut compressor, &mut tell(&notices));
        Self {
            log,
            compressor,
            notices,
        }
    }

    /// Appends whole lines, and waits for the disk.
    pub(crate) fn write(&mut self, lines: &[u8]) {
        let tell = &mut tell(&self.notices);
        self.log
            .write(lines, Timestamp::now(), &mut self.compressor, tell);
    }

    /// Opens the file again under its name.
    pub(crate) fn reopen(&mut self) {
        self.log.reopen(Timestamp::now(), &mut tell(&self.notices));
    }

    /// The last words about lines that were lost.
    pub(crate) fn close(self) {
        self.log.close(&mut tell(&self.notices));
    }
}

fn tell(notices: &Sender<Notice>) -> impl FnMut(Notice) {
    |notice| {
        // Nobody hears it: the log itself tells of what was lost.
        let _ = notices.try_send(notice);
    }
}
