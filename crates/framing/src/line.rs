//! A line of a head, which may arrive in pieces: its beginning and its last bytes are kept.

/// So much of a line's beginning is kept: a name and a value that matter here fit.
pub(crate) const START: usize = 64;

/// So much of its end: a space and the version.
const TAIL: usize = 9;

/// A line without its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    start: [u8; START],
    tail: [u8; TAIL],
    len: u32,
}

/// What is known of a whole line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// Its beginning: up to [`START`] bytes of it at least. More is not to be looked at.
    pub(crate) start: &'a [u8],
    /// Its last bytes, where they are not those of its beginning.
    tail: Option<&'a [u8]>,
    pub(crate) len: usize,
}

impl<'a> Text<'a> {
    /// A line that has arrived in one piece.
    #[inline]
    pub(crate) fn whole(line: &'a [u8]) -> Self {
        Self {
            start: line,
            tail: None,
            len: line.len(),
        }
    }

    /// The whole of it, if it is short.
    pub(crate) fn all(&self) -> Option<&'a [u8]> {
        (self.len <= START).then_some(self.start)
    }

    /// Its last bytes.
    pub(crate) fn tail(&self) -> &'a [u8] {
        let behind = self.start.len().saturating_sub(TAIL);
        self.tail.or(self.start.get(behind..)).unwrap_or(&[])
    }
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            start: [0; START],
            tail: [0; TAIL],
            len: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds a piece. `false` if the line is longer than any.
    pub(crate) fn add(&mut self, piece: &[u8]) -> bool {
        let len = self.len as usize;
        if let Some(room) = self.start.get_mut(len..) {
            for (to, from) in room.iter_mut().zip(piece) {
                *to = *from;
            }
        }
        let kept = piece
            .get(piece.len().saturating_sub(TAIL)..)
            .unwrap_or(piece);
        // The bytes that were last, then these: of both the end.
        let mut tail = [0; TAIL];
        let both = self.tail.iter().chain(kept).skip(kept.len());
        for (to, from) in tail.iter_mut().zip(both) {
            *to = *from;
        }
        self.tail = tail;
        match u32::try_from(len + piece.len()) {
            Ok(len) => {
                self.len = len;
                true
            }
            Err(_) => false,
        }
    }

    /// The line as far as it has come.
    pub(crate) fn text(&self) -> Text<'_> {
        let len = self.len as usize;
        Text {
            start: self.start.get(..len).unwrap_or(&self.start),
            tail: self.tail.get(TAIL.saturating_sub(len)..),
            len,
        }
    }
}

/// Whether this byte may stand in a method or a field's name (a token: RFC 9110, 5.6.2).
#[inline]
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
