//! Whole lines out of whatever pieces a worker writes, without a copy where none is needed.

use memchr::{memchr, memrchr};

/// A line that is longer than this is written in parts, so that a worker which never ends its
/// line cannot fill our memory.
pub(super) const LONGEST: usize = 16 * 1024 * 1024;

/// More than this is not kept in memory for an empty line.
const KEPT: usize = 4096;

/// The unfinished line of one stream.
#[derive(Debug, Default)]
pub(super) struct Gather {
    rest: Vec<u8>,
}

impl Gather {
    /// One whose first line has begun so.
    pub(super) fn of(begun: Vec<u8>) -> Self {
        Self { rest: begun }
    }

    /// Takes what was read, and passes on the whole lines that it completes, each with its end,
    /// in as few pieces as possible.
    pub(super) fn push(&mut self, mut read: &[u8], mut lines: impl FnMut(&[u8])) {
        let Some(last) = memrchr(b'\n', read) else {
            self.rest.extend_from_slice(read);
            if self.rest.len() >= LONGEST {
                self.cut(lines);
            }
            return;
        };
        if !self.rest.is_empty() {
            let first = memchr(b'\n', read).unwrap_or(last);
            let (end, others) = read.split_at(first + 1);
            self.rest.extend_from_slice(end);
            lines(&self.rest);
            self.clear();
            read = others;
        }
        let end = memrchr(b'\n', read).map_or(0, |last| last + 1);
        let (whole, rest) = read.split_at(end);
        if !whole.is_empty() {
            lines(whole);
        }
        self.rest.extend_from_slice(rest);
    }

    /// Passes the unfinished line on, and ends it.
    pub(super) fn cut(&mut self, mut lines: impl FnMut(&[u8])) {
        if !self.rest.is_empty() {
            self.rest.push(b'\n');
            lines(&self.rest);
            self.clear();
        }
    }

    /// The beginning of the line that is to come.
    pub(super) fn begun(&self) -> &[u8] {
        &self.rest
    }

    /// How many bytes are held.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    fn clear(&mut self) {
        self.rest.clear();
        self.rest.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces that come out.
    fn gathered(pieces: &[&str]) -> Vec<String> {
        let mut gather = Gather::default();
        let mut out = Vec::new();
        let mut note = |lines: &[u8]| out.push(String::from_utf8(lines.to_vec()).unwrap());
        for piece in pieces {
            gather.push(piece.as_bytes(), &mut note);
        }
        gather.cut(&mut note);
        out
    }

    #[test]
    fn pieces_become_lines() {
        assert_eq!(gathered(&["on", "e\ntw", "o\n"]), ["one\n", "two\n"]);
        assert_eq!(gathered(&["one\ntwo\n\n"]), ["one\ntwo\n\n"]);
        assert_eq!(gathered(&["a", "b\nc\nd\ne"]), ["ab\n", "c\nd\n", "e\n"]);
        assert_eq!(gathered(&["a", "\n"]), ["a\n"]);
        assert_eq!(gathered(&["one", " more"]), ["one more\n"]);
        assert!(gathered(&[]).is_empty());
    }

    #[test]
    fn ten_megabytes_are_one_line() {
        let mut gather = Gather::default();
        let piece = vec![b'x'; 64 * 1024];
        let mut lines = Vec::new();
        for _ in 0..160 {
            gather.push(&piece, |line| lines.push(line.len()));
        }
        gather.push(b"\n", |line| lines.push(line.len()));
        assert_eq!(lines, [160 * 64 * 1024 + 1]);
        assert!(gather.rest.capacity() <= KEPT);
    }

    #[test]
    fn a_line_without_end_comes_in_parts() {
        let mut gather = Gather::default();
        let piece = vec![b'x'; LONGEST / 2];
        let mut lines = Vec::new();
        for _ in 0..4 {
            gather.push(&piece, |line| lines.push(line.len()));
        }
        assert_eq!(lines, [LONGEST + 1, LONGEST + 1]);
        assert_eq!(gather.len(), 0);
    }
}
