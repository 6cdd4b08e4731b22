//! The fields that tell where a message ends, and whether its connection does.

use crate::line::{Text, is_token};

/// What makes letters lower case, in eight bytes.
const LOWER: u64 = 0x2020_2020_2020_2020;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// No field tells.
    None,
    Bytes(u64),
    Chunked,
    /// Fields tell it in more than one way, or in one that is not known here.
    Unknown,
}

/// What the fields of one head say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    length: Option<u64>,
    chunked: bool,
    unknown: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Fields {
    pub(crate) const fn new() -> Self {
        Self {
            length: None,
            chunked: false,
            unknown: false,
            close: false,
            keep_alive: false,
            upgrade: false,
        }
    }

    pub(crate) fn length(&self) -> Length {
        match (self.unknown, self.length, self.chunked) {
            (true, ..) | (_, Some(_), true) => Length::Unknown,
            (_, Some(length), _) => Length::Bytes(length),
            (_, None, true) => Length::Chunked,
            (_, None, false) => Length::None,
        }
    }

    /// Reads a field. `false` if the line is none that everybody reads in one way.
    #[inline]
    pub(crate) fn add(&mut self, line: Text<'_>) -> bool {
        match line.start.first() {
            // A folded line, or an empty name.
            Some(b' ' | b'\t' | b':') | None => false,
            Some(_) => self.add_known(line),
        }
    }

    fn add_known(&mut self, line: Text<'_>) -> bool {
        match line.start.first().map(|first| first | 0x20) {
            Some(b'c') => {
                if let Some(value) = value(line, b"content-length") {
                    return self.add_length(value);
                }
                if let Some(value) = value(line, b"connection") {
                    return value.is_some_and(|value| self.add_connection(value));
                }
            }
            Some(b't') => {
                if let Some(value) = value(line, b"transfer-encoding") {
                    return self.add_coding(value);
                }
            }
            Some(b'u') => self.upgrade |= value(line, b"upgrade").is_some(),
            _ => {}
        }
        true
    }

    fn add_length(&mut self, value: Option<&[u8]>) -> bool {
        let length = value.and_then(number).filter(|_| self.length.is_none());
        self.length = length;
        self.unknown |= length.is_none();
        length.is_some()
    }

    fn add_coding(&mut self, value: Option<&[u8]>) -> bool {
        let chunked = value.is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
        let first = !self.chunked;
        self.chunked = chunked;
        self.unknown |= !chunked || !first;
        chunked && first
    }

    fn add_connection(&mut self, value: &[u8]) -> bool {
        // What is said most.
        if value == b"keep-alive" {
            self.keep_alive = true;
            return true;
        }
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.len() == 5 && begins_with(option, b"close");
            self.keep_alive |= option.len() == 10 && begins_with(option, b"keep-alive");
        }
        true
    }
}

/// Whether a line is a field that does not matter here, as its first two bytes tell. An empty line, a
/// folded one and an empty name are none.
#[inline]
pub(crate) fn is_plain(line: &[u8]) -> bool {
    let Some(first) = line.first() else {
        return false;
    };
    let second = match first | 0x20 {
        b'c' => b'o',
        b't' => b'r',
        b'u' => b'p',
        _ => return *first > b' ' && *first != b':',
    };
    line.get(1).is_some_and(|byte| byte | 0x20 != second)
}

/// The value of the field of this name, in lower case; `Some(None)` if it cannot be read: what
/// stands before the colon is not the name alone, or the line is too long to be kept.
#[inline]
fn value<'a, const LEN: usize>(line: Text<'a>, name: &[u8; LEN]) -> Option<Option<&'a [u8]>> {
    if !begins_with(line.start, name) {
        return None;
    }
    let rest = line.start.get(LEN..)?;
    match rest.first() {
        Some(b':') => Some(line.all().and_then(|_| rest.get(1..)).map(trimmed)),
        // Another name that begins with this one.
        Some(byte) if is_token(*byte) => None,
        _ => Some(None),
    }
}

/// Whether a text begins with a name of lower-case letters and hyphens, in letters of any case. Heads
/// hold no byte 13, the only other one that differs from a hyphen in this bit alone.
#[inline]
fn begins_with<const LEN: usize>(text: &[u8], name: &[u8; LEN]) -> bool {
    let Some(text) = text.first_chunk::<LEN>() else {
        return false;
    };
    // Whole words, of which the last may lie over the one before it.
    let word = |of: &[u8; LEN], at: usize| {
        let eight = of.get(at..).and_then(<[u8]>::first_chunk);
        eight.map(|eight| u64::from_le_bytes(*eight) | LOWER)
    };
    if let Some(last) = LEN.checked_sub(8) {
        let mut at = 0;
        while at < last {
            if word(text, at) != word(name, at) {
                return false;
            }
            at += 8;
        }
        return word(text, last) == word(name, last);
    }
    text.iter()
        .zip(name)
        .all(|(byte, wanted)| byte | 0x20 == *wanted)
}

/// Without the spaces and tabs around it; other white space is no white space in a field.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = value.split_first() {
        value = rest;
    }
    while let Some((b' ' | b'\t', rest)) = value.split_last() {
        value = rest;
    }
    value
}

/// A decimal number that fits.
fn number(digits: &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (!digits.is_empty()).then_some(number)
}
