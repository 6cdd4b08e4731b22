//! A text that outlives the process which writes it.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::{pread, pwrite};

/// Where the text begins, and how long it is: two numbers of 64 bits at the beginning of the file.
const HEADER: u64 = 16;

/// A text in memory, for processes that share one table of descriptors: what one has written last, another
/// one reads when the first has ended, in whatever way. It is there as long as one of them is.
///
/// A new text is written beside the one that counts, and then the header is, within one call: a process
/// that is killed in the middle leaves the old text.
#[derive(Debug)]
pub struct Memo {
    file: ManuallyDrop<OwnedFd>,
    /// Where the text that counts begins, and how long it is.
    at: (u64, u64),
}

impl Memo {
    /// An empty text.
    ///
    /// # Errors
    /// If there is no descriptor or memory left.
    pub fn new() -> io::Result<Self> {
        let file = memfd_create("maitred", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, HEADER)?;
        Ok(Self {
            file: ManuallyDrop::new(file),
            at: (HEADER, 0),
        })
    }

    /// One that another program has made, by its descriptor, which stays open from then on.
    pub fn of(file: OwnedFd) -> Self {
        Self {
            file: ManuallyDrop::new(file),
            at: (HEADER, 0),
        }
    }

    /// Its descriptor, which stays open.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// A second hand for the same text. Only one of them may write.
    pub fn share(&self) -> Self {
        // SAFETY: a memo never closes its descriptor, so any number of them may have the same one.
        let file = unsafe { std::os::fd::FromRawFd::from_raw_fd(self.file.as_raw_fd()) };
        Self {
            file: ManuallyDrop::new(file),
            at: self.at,
        }
    }

    /// Puts a text in the place of the one before.
    ///
    /// # Errors
    /// If there is no memory left: then the text before still counts.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let len = text.len() as u64;
        let (start, old) = self.at;
        let free_before = start - HEADER;
        let at = if len <= free_before {
            HEADER
        } else {
            start + old
        };
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match pwrite(&*self.file, rest, at + written as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                more => written += more,
            }
        }
        let mut header = [0; HEADER as usize];
        for (to, from) in header
            .iter_mut()
            .zip(at.to_ne_bytes().into_iter().chain(len.to_ne_bytes()))
        {
            *to = from;
        }
        if pwrite(&*self.file, &header, 0)? != header.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.at = (at, len);
        Ok(())
    }

    /// The text that was written last, by whichever process.
    ///
    /// # Errors
    /// Those of `pread(2)`, or if there is no memory for it.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut header = [0; HEADER as usize];
        let header_len = pread(&*self.file, &mut header, 0)?;
        let number = |at: usize| {
            let bytes = header
                .get(at..at + 8)
                .filter(|_| header_len == header.len());
            bytes
                .and_then(|bytes| bytes.first_chunk())
                .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
        };
        let (at, len) = (number(0).max(HEADER), number(8));
        self.at = (at, len);
        let mut text = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let mut read = 0;
        while let Some(rest) = text.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match pread(&*self.file, rest, at + read as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => read += more,
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_read_and_room_is_used_again() {
        let mut memo = Memo::new().unwrap();
        assert_eq!(memo.read().unwrap(), b"");
        let mut reader = memo.share();
        for len in [0, 1, 5000, 3, 4999, 5001, 10, 0, 7000] {
            for _ in 0..20 {
                let text: Vec<u8> = (0..len).map(|it| it as u8).collect();
                memo.write(&text).unwrap();
                assert_eq!(reader.read().unwrap(), text);
            }
        }
        let size = rustix::fs::fstat(&*memo.file).unwrap().st_size;
        assert!(size < 30_000, "{size}");
    }

    /// By its descriptor alone.
    #[test]
    fn one_of_another_program_is_read_and_written() {
        let mut first = Memo::new().unwrap();
        for text in [&b"text"[..], b"", b"longer than that"] {
            first.write(text).unwrap();
        }
        let mut second = Memo::of(first.file.try_clone().unwrap());
        assert_eq!(second.read().unwrap(), b"longer than that");
        second.write(b"other").unwrap();
        assert_eq!(first.read().unwrap(), b"other");
    }

    /// One who goes on where another has written does not write over what counts.
    #[test]
    fn another_one_goes_on() {
        let mut first = Memo::new().unwrap();
        let mut second = first.share();
        first.write(b"first").unwrap();
        assert_eq!(second.read().unwrap(), b"first");
        second.write(b"second text").unwrap();
        assert_eq!(second.share().read().unwrap(), b"second text");
    }
}
