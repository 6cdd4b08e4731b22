//! What holds up workers until a test lets them go on: a piece of work that lasts just as long.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};

/// A pipe with a name. A worker that reads a byte from it blocks until the test has put one in.
pub(crate) struct Gate {
    path: PathBuf,
    pipe: File,
}

impl Gate {
    /// A closed one, in this folder.
    pub(crate) fn new(folder: &Path) -> Gate {
        let path = folder.join("gate");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
        // With both ends here, neither side waits for the other to open it.
        let pipe = OpenOptions::new().read(true).write(true).open(&path);
        Gate {
            path,
            pipe: pipe.unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets so many pass, those that come later too.
    pub(crate) fn lets_pass(&self, count: usize) {
        (&self.pipe).write_all(&vec![b'.'; count]).unwrap();
    }
}
