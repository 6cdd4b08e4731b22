//! The head of a message is mostly that of the one before it, byte for byte, or at least its fields are. What
//! they say is known then, and need not be read again.

use crate::Head;
use crate::fields::Fields;
use crate::scan::{BLOCK, PART, Scan};

/// Longer heads are read each time.
const MOST: usize = 512;

/// Where no head comes again, this many are neither noted nor compared before one is noted: both together cost two
/// fifths of reading it.
const PASSES: u8 = 8;

/// The last head, up to and with the empty line, and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    bytes: [u8; MOST],
    /// Where its fields begin.
    fields: usize,
    len: usize,
    head: Head,
    /// How long it is with its body, if it is plain ([`Head::plain_length`]) and may come again; 0 otherwise.
    plain: usize,
    /// It has been found again.
    is_found: bool,
    /// How many heads pass before one is noted again, since this one did not come again. Until then nothing is
    /// compared.
    passes: u8,
}

impl Repeat {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; MOST],
            fields: 0,
            len: 0,
            head: Head::new(),
            plain: 0,
            is_found: false,
            passes: 0,
        }
    }

    /// If this text begins with the same head: how long it is, and what it says.
    #[inline]
    pub(crate) fn head<S: Scan>(&mut self, text: &[u8]) -> Option<(usize, Head)> {
        let is_same = self.begins::<S>(text, 0);
        self.is_found |= is_same;
        is_same.then_some((self.len, self.head))
    }

    /// Whether this text is the same plain head with a body of the same length, and nothing behind it.
    #[inline]
    pub(crate) fn is_plain<S: Scan>(&mut self, text: &[u8]) -> bool {
        if text.len() != self.plain {
            return false;
        }
        let known = self.bytes.get(..self.len);
        let is_same = known.is_some_and(|known| is_same::<S>(known, text));
        self.is_found |= is_same;
        is_same
    }

    /// If it begins with the same fields: how long they are, and what they say.
    #[inline]
    pub(crate) fn fields<S: Scan>(&mut self, text: &[u8]) -> Option<(usize, Fields)> {
        let is_same = self.begins::<S>(text, self.fields);
        self.is_found |= is_same;
        is_same.then_some((self.len - self.fields, self.head.fields))
    }

    /// Whether a text begins with the last head, or with the rest of it from this byte on. A rest shorter than a part
    /// is not compared: it is read as fast.
    #[inline]
    fn begins<S: Scan>(&self, text: &[u8], from: usize) -> bool {
        let known = self.bytes.get(from..self.len);
        self.passes == 0 && known.is_some_and(|known| is_same::<S>(known, text))
    }

    /// Notes a head, where its fields begin, and what it says.
    pub(crate) fn note(&mut self, text: &[u8], fields: usize, head: Head) {
        if self.passes > 1 {
            self.passes -= 1;
            return;
        }
        if self.passes == 0 && self.len > 0 && !self.is_found {
            self.passes = PASSES;
            self.plain = 0;
            return;
        }
        self.passes = 0;
        self.is_found = false;
        self.len = 0;
        self.plain = 0;
        let Some(last) = text.len().checked_sub(PART).filter(|_| text.len() <= MOST) else {
            return;
        };
        let mut at = 0;
        while at < last {
            self.put(text, at);
            at += PART;
        }
        self.put(text, last);
        self.fields = fields;
        self.len = text.len();
        self.head = head;
        let body = head.plain_length().and_then(|it| usize::try_from(it).ok());
        let whole = body.and_then(|it| it.checked_add(text.len()));
        self.plain = whole.unwrap_or(0);
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

/// Whether a text begins with what is known; `false` for less than a part.
#[inline]
fn is_same<S: Scan>(known: &[u8], text: &[u8]) -> bool {
    let Some(text) = text.get(..known.len()) else {
        return false;
    };
    let (known_blocks, known_rest) = known.as_chunks::<BLOCK>();
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (known, block) in known_blocks.iter().zip(blocks) {
        if !S::is_same(known, block) {
            return false;
        }
    }
    let (known_parts, _) = known_rest.as_chunks::<PART>();
    let (parts, _) = rest.as_chunks::<PART>();
    for (known, part) in known_parts.iter().zip(parts) {
        if u128::from_ne_bytes(*known) != u128::from_ne_bytes(*part) {
            return false;
        }
    }
    // The last bytes may lie over the part before them.
    match (known.last_chunk::<PART>(), text.last_chunk::<PART>()) {
        (Some(known), Some(text)) => u128::from_ne_bytes(*known) == u128::from_ne_bytes(*text),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Portable;

    /// Heads of any length are found again, also with something behind them, and so are their fields behind
    /// another first line; with any one byte changed, or the last one missing, they are not.
    #[test]
    fn only_the_same_bytes_are_found() {
        for len in 0..MOST + PART {
            let mut text: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
            let fields = len / 3;
            let mut repeat = Repeat::new();
            repeat.note(&text, fields, Head::new());
            text.extend(*b"more");
            let mut found = |text: &[u8]| {
                let head = repeat.head::<Portable>(text).map(|(len, _)| len);
                (
                    head,
                    repeat
                        .fields::<Portable>(&text[fields..])
                        .map(|(len, _)| len),
                )
            };
            let is_kept = (PART..=MOST).contains(&len);
            let head = is_kept.then_some(len);
            let rest = (is_kept && len - fields >= PART).then_some(len - fields);
            assert_eq!(found(&text), (head, rest));
            assert_eq!(
                found(&text[..len.saturating_sub(1).max(fields)]),
                (None, None)
            );
            for at in 0..len {
                text[at] ^= 1;
                assert_eq!(
                    found(&text),
                    (None, rest.filter(|_| at < fields)),
                    "{len} {at}"
                );
                text[at] ^= 1;
            }
        }
    }

    /// What comes again is noted at once, and of what does not come again every ninth.
    #[test]
    fn few_heads_that_do_not_come_again_are_noted() {
        let mut repeat = Repeat::new();
        let text = |n: u8| [n; 20];
        let noted = |n, repeat: &mut Repeat| {
            repeat.note(&text(n), 0, Head::new());
            repeat.begins::<Portable>(&text(n), 0)
        };
        let all: Vec<_> = (1..30).filter(|n| noted(*n, &mut repeat)).collect();
        assert_eq!(all, [1, 10, 19, 28]);
        // 28 was not found again; the ninth head from there on is noted.
        assert!((30..37).all(|n| !noted(n, &mut repeat)));
        assert!(noted(37, &mut repeat));
        for n in 38..60 {
            assert!(repeat.head::<Portable>(&text(n - 1)).is_some());
            assert!(noted(n, &mut repeat), "{n}");
        }
    }
}
