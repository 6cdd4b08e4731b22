//! Keys, from the bytes that a terminal sends for them.
//!
//! Read here and not by crossterm: its reader turns in a circle for ever when the terminal is gone.

use std::io::{self, Read, stdin};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// A sequence that is longer than this is none of ours.
const LONGEST: usize = 16;

/// A key that does something, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// Ctrl-C or Ctrl-D.
    Interrupt,
    Char(char),
    Other,
}

/// The keys of our terminal.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The beginning of a sequence whose end is still to come.
    begun: Vec<u8>,
}

impl Keys {
    /// The keys that were pressed, after so long at the latest; `None` if the terminal is gone.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn wait(&mut self, time: Duration) -> io::Result<Option<Vec<Key>>> {
        let stdin = stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(time).ok().as_ref()) {
            Ok(0) | Err(Errno::INTR) => return Ok(Some(Vec::new())),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 256];
        match stdin.lock().read(&mut bytes) {
            Ok(0) => Ok(None),
            Ok(length) => Ok(Some(self.of(bytes.get(..length).unwrap_or(&[])))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(Vec::new())),
            // As a terminal says that hangs up.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The keys that these bytes stand for, with those that came before.
    fn of(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.begun.extend_from_slice(bytes);
        let mut keys = Vec::new();
        while let Some((key, length)) = first(&self.begun) {
            keys.push(key);
            self.begun.drain(..length.min(self.begun.len()));
        }
        keys
    }
}

/// The first key, and how many bytes stand for it; `None` if more has to come.
fn first(bytes: &[u8]) -> Option<(Key, usize)> {
    let plain = |byte: u8| match byte {
        0x03 | 0x04 => Key::Interrupt,
        b' '..=b'~' => Key::Char(char::from(byte)),
        _ => Key::Other,
    };
    match bytes {
        [] | [0x1b] => None,
        [0x1b, b'[' | b'O', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
                return (rest.len() > LONGEST).then_some((Key::Other, bytes.len()));
            };
            let (parameters, last) = rest.split_at(end);
            let key = match (parameters, last.first()) {
                ([], Some(b'A')) => Key::Up,
                ([], Some(b'B')) => Key::Down,
                ([], Some(b'H')) | (b"1" | b"7", Some(b'~')) => Key::Home,
                ([], Some(b'F')) | (b"4" | b"8", Some(b'~')) => Key::End,
                (b"5", Some(b'~')) => Key::PageUp,
                (b"6", Some(b'~')) => Key::PageDown,
                _ => Key::Other,
            };
            Some((key, end + 3))
        }
        // Escape, or Alt with a key.
        [0x1b, _, ..] => Some((Key::Other, 2)),
        // What is typed beyond ASCII is one key, of several bytes.
        [byte, rest @ ..] if *byte >= 0x80 => {
            let more = rest.iter().take_while(|byte| **byte & 0xc0 == 0x80);
            Some((Key::Other, 1 + more.count()))
        }
        [byte, ..] => Some((plain(*byte), 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_keys_also_in_pieces() {
        let whole = b"q\x1b[A\x1bOB\x1b[5~\x1b[1;5A\x03\xc3\xa4\x1b[4~\x1bxr";
        let expected = [
            Key::Char('q'),
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::Other,
            Key::Interrupt,
            Key::Other,
            Key::End,
            Key::Other,
            Key::Char('r'),
        ];
        assert_eq!(Keys::default().of(whole), expected);
        let ascii = b"q\x1b[A\x1bOB\x1b[6~+";
        let mut keys = Keys::default();
        let mut got = Vec::new();
        for byte in ascii {
            got.extend(keys.of(&[*byte]));
        }
        let expected = [Key::Char('q'), Key::Up, Key::Down, Key::PageDown];
        assert_eq!(got, [&expected[..], &[Key::Char('+')]].concat());
    }

    #[test]
    fn any_bytes_come_to_an_end_and_are_not_kept() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut keys = Keys::default();
        for _ in 0..100_000 {
            let bytes: Vec<_> = (0..random.usize(0..8))
                .map(|_| random.choice(*b"\x1b[O;5~A\x80\xffq\0").unwrap())
                .collect();
            keys.of(&bytes);
            assert!(keys.begun.len() < LONGEST + 8, "{:?}", keys.begun);
        }
    }
}
