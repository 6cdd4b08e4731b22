//! Reading files of the home: what stands under their names may have been put there by something else.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// A larger file is something else.
const LARGEST: u64 = 64 << 20;

/// Opens a file for reading. Follows no link, and does not wait for the other side of a FIFO.
///
/// # Errors
/// Those of `open(2)`; `InvalidInput` for a link.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = File::options();
    let opened = options
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    opened.map_err(|error| match rustix::io::Errno::from_io_error(&error) {
        Some(rustix::io::Errno::LOOP) => refused("it is a symbolic link"),
        _ => error,
    })
}

/// Reads a regular file of this user's, or of root's.
///
/// # Errors
/// Those of `open(2)` and `read(2)`; `InvalidInput` with the reason if it is something else.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(refused(&format!("it belongs to user {}", meta.uid())));
    }
    let mut content = Vec::new();
    // It may grow meanwhile.
    let read = file.take(LARGEST + 1).read_to_end(&mut content)? as u64;
    if read > LARGEST {
        return Err(refused(&format!("it is larger than {} MB", LARGEST >> 20)));
    }
    Ok(content)
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}
