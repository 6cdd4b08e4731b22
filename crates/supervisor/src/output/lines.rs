//! Lines out of whatever pieces a worker writes.

/// A line that is longer than this is shown in parts, so that a worker which never ends its line
/// cannot fill our memory.
const LONGEST: usize = 16 * 1024 * 1024;

/// Gathers a worker's output, and gives it out in whole lines, each with the prefix.
#[derive(Debug)]
pub(super) struct Lines {
    prefix: Vec<u8>,
    /// A line that is not finished.
    rest: Vec<u8>,
}

impl Lines {
    pub(super) fn new(prefix: String) -> Self {
        Self {
            prefix: prefix.into_bytes(),
            rest: Vec::new(),
        }
    }

    /// Takes what was read; the whole lines that it completes, if any.
    pub(super) fn push(&mut self, read: &[u8]) -> Option<Vec<u8>> {
        let Some(last) = read.iter().rposition(|byte| *byte == b'\n') else {
            self.rest.extend_from_slice(read);
            return (self.rest.len() >= LONGEST).then(|| self.take_rest());
        };
        let (whole, rest) = read.split_at(last + 1);
        let mut out = Vec::with_capacity(self.rest.len() + whole.len() + 64);
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(&self.prefix);
            out.append(&mut self.rest);
            out.extend_from_slice(line);
        }
        self.rest.extend_from_slice(rest);
        Some(out)
    }

    /// The worker writes no more; its last line, if it did not end it.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        (!self.rest.is_empty()).then(|| self.take_rest())
    }

    fn take_rest(&mut self) -> Vec<u8> {
        let mut out = self.prefix.clone();
        out.append(&mut self.rest);
        out.push(b'\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&str]) -> String {
        let mut lines = Lines::new("a | ".into());
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(lines.push(piece.as_bytes()).unwrap_or_default());
        }
        out.extend(lines.end().unwrap_or_default());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pieces_become_lines() {
        assert_eq!(shown(&["on", "e\ntw", "o\n"]), "a | one\na | two\n");
        assert_eq!(shown(&["one\ntwo\n\n"]), "a | one\na | two\na | \n");
        assert_eq!(shown(&["one", " more"]), "a | one more\n");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn a_line_without_end_is_shown_in_parts() {
        let mut lines = Lines::new(String::new());
        let piece = vec![b'x'; LONGEST / 2];
        assert!(lines.push(&piece).is_none());
        assert_eq!(lines.push(&piece).unwrap().len(), LONGEST + 1);
        assert!(lines.end().is_none());
    }
}
