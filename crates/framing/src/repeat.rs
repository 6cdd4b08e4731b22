//! The fields of a message are mostly those of the one before it, byte for byte. What they say is known
//! then, and need not be read again.

use crate::fields::Fields;
use crate::scan::PART;

/// Longer ones are read each time.
const MOST: usize = 512;

/// The fields of the last head, up to and with the empty line, and what they say.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    bytes: [u8; MOST],
    len: usize,
    fields: Fields,
}

impl Repeat {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; MOST],
            len: 0,
            fields: Fields::new(),
        }
    }

    /// If this text begins with the same fields: how long they are, and what they say.
    #[inline]
    pub(crate) fn find(&self, text: &[u8]) -> Option<(usize, Fields)> {
        let (known, begin) = (self.bytes.get(..self.len)?, text.get(..self.len)?);
        let last = self.len.checked_sub(PART)?;
        let mut at = 0;
        while at < last {
            if part(known, at) != part(begin, at) {
                return None;
            }
            at += PART;
        }
        // It may lie over the part before it.
        (part(known, last) == part(begin, last)).then_some((self.len, self.fields))
    }

    /// These fields say this. Shorter ones than a part are read as fast as they are found.
    pub(crate) fn note(&mut self, text: &[u8], fields: Fields) {
        self.len = 0;
        let Some(last) = text.len().checked_sub(PART).filter(|_| text.len() <= MOST) else {
            return;
        };
        let mut at = 0;
        while at < last {
            self.put(text, at);
            at += PART;
        }
        self.put(text, last);
        self.len = text.len();
        self.fields = fields;
    }

    #[inline]
    fn put(&mut self, text: &[u8], at: usize) {
        let to = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
        if let (Some(to), Some(from)) = (to, part(text, at)) {
            *to = u128::to_ne_bytes(from);
        }
    }
}

#[inline]
fn part(text: &[u8], at: usize) -> Option<u128> {
    let part: Option<&[u8; PART]> = text.get(at..).and_then(<[u8]>::first_chunk);
    part.map(|it| u128::from_ne_bytes(*it))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of any length are found again, also with something behind them; with any one byte changed,
    /// or the last one missing, they are not.
    #[test]
    fn only_the_same_bytes_are_found() {
        for len in 0..MOST + PART {
            let mut text: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let mut repeat = Repeat::new();
            repeat.note(&text, Fields::new());
            text.extend(*b"more");
            let found = repeat.find(&text).map(|(len, _)| len);
            assert_eq!(found, (PART..=MOST).contains(&len).then_some(len));
            assert!(repeat.find(&text[..len.saturating_sub(1)]).is_none());
            for at in 0..len {
                text[at] ^= 1;
                assert!(repeat.find(&text).is_none(), "{len} {at}");
                text[at] ^= 1;
            }
        }
    }
}
