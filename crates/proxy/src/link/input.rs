//! What has been read and not used yet.

use std::ops::Deref;

/// Bytes that are used from the front. What is left is not moved, however many pieces it is used
/// in: a client may send thousands of requests at once.
#[derive(Debug, Default)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    /// How many of them have been used.
    used: usize,
}

impl Input {
    /// A copy of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            used: 0,
        }
    }

    /// Puts more behind what is left.
    pub(crate) fn extend(&mut self, more: &[u8]) {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.extend_from_slice(more);
    }

    /// Uses `len` bytes. When nothing is left there is no buffer either.
    pub(crate) fn advance(&mut self, len: usize) {
        self.used = self.used.saturating_add(len);
        if self.used >= self.bytes.len() {
            *self = Self::default();
        }
    }
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.used..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_stays_where_it_is() {
        let mut input = Input::of(b"one two three");
        let first = input.as_ptr();
        input.advance(4);
        assert_eq!(&*input, b"two three");
        assert_eq!(input.as_ptr(), first.wrapping_add(4));
        input.advance(4);
        assert_eq!(input.as_ptr(), first.wrapping_add(8));
        input.extend(b" four");
        assert_eq!(&*input, b"three four");
        input.advance(10);
        assert!(input.is_empty());
        assert_eq!(input.bytes.capacity(), 0);
        input.advance(1);
        input.extend(b"more");
        assert_eq!(&*input, b"more");
    }
}
