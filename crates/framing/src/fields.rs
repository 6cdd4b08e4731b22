//! The fields that tell where a message ends, and whether its connection does.

use crate::line::{Text, is_token};

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
        let Some(first) = line.start.first() else {
            return false;
        };
        match first | 0x20 {
            b'c' | b't' | b'u' => self.add_known(line),
            // A folded line, or an empty name.
            b' ' | b'\t' | b':' => false,
            _ => true,
        }
    }

    fn add_known(&mut self, line: Text<'_>) -> bool {
        let value = |name: &[u8]| value(line, name);
        if let Some(value) = value(b"content-length") {
            let length = value.and_then(number).filter(|_| self.length.is_none());
            self.length = length;
            self.unknown |= length.is_none();
            return length.is_some();
        }
        if let Some(value) = value(b"transfer-encoding") {
            let chunked = value.is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
            let first = !self.chunked;
            self.chunked = chunked;
            self.unknown |= !chunked || !first;
            return chunked && first;
        }
        if let Some(value) = value(b"connection") {
            return value.is_some_and(|value| self.add_connection(value));
        }
        if value(b"upgrade").is_some() {
            self.upgrade = true;
        }
        true
    }

    fn add_connection(&mut self, value: &[u8]) -> bool {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        true
    }
}

/// The value of the field of this name, in lower case; `Some(None)` if it cannot be read: what
/// stands before the colon is not the name alone, or the line is too long to be kept.
fn value<'a>(line: Text<'a>, name: &[u8]) -> Option<Option<&'a [u8]>> {
    let (start, rest) = line.start.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    match rest.first() {
        Some(b':') => Some(line.all().and_then(|_| rest.get(1..)).map(trimmed)),
        // Another name that begins with this one.
        Some(byte) if is_token(*byte) => None,
        _ => Some(None),
    }
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
