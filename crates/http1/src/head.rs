//! Where a head ends.

use std::mem::MaybeUninit;

use httparse::Header;

use crate::Refusal;

/// How many header fields most messages have at most. For those there is room on the stack.
pub const HEADERS: usize = 100;

pub(crate) const TOO_MANY_FIELDS: &str =
    "the request has more header fields than max_fields allows";

/// Room for the fields of this head: `few`, unless it has more lines; then in `many`.
pub fn room<'r, 'b>(
    head: &[u8],
    few: &'r mut [MaybeUninit<Header<'b>>; HEADERS],
    many: &'r mut Vec<MaybeUninit<Header<'b>>>,
) -> &'r mut [MaybeUninit<Header<'b>>] {
    match fields_of(head) {
        fields if fields <= HEADERS => few,
        fields => {
            many.resize_with(fields, MaybeUninit::uninit);
            many
        }
    }
}

/// How many fields a head has, or a few more: each has a line.
fn fields_of(head: &[u8]) -> usize {
    // The shortest field takes four bytes.
    if head.len() <= 4 * HEADERS {
        return HEADERS.min(head.len());
    }
    memchr::memchr_iter(b'\n', head).count().saturating_sub(2)
}

/// Refuses a request whose head has more than `most` fields.
///
/// # Errors
/// If it has.
pub fn check_fields(head: &[u8], most: usize) -> Result<(), Refusal> {
    let lines = memchr::memchr_iter(b'\n', head).count();
    // The request line, and the empty one.
    if lines.saturating_sub(2) > most {
        return Err(Refusal::HeadTooLarge(TOO_MANY_FIELDS));
    }
    Ok(())
}

/// What has been found of a head so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is complete, and so many bytes long.
    At(usize),
    /// More of it has to come; the search goes on from here.
    Beyond(usize),
}

/// Finds the end of the head that `bytes` begin with: the first empty line. All before `from` has
/// been searched already (what an earlier [`End::Beyond`] gave; 0 at first).
///
/// # Errors
/// A line feed without a carriage return before it: some programs take it for a line's end, others
/// do not. A first byte that no message begins with.
pub fn find_end(bytes: &[u8], from: usize) -> Result<End, Refusal> {
    if bytes.first().is_some_and(|first| !is_token(*first)) {
        return Err(match bytes {
            [b'\r', ..] | [b'\n', ..] => {
                Refusal::Malformed("the request begins with an empty line")
            }
            [b' ' | b'\t', ..] => Refusal::Malformed("the request begins with white space"),
            _ => Refusal::NotHttp,
        });
    }
    // Where the line begins that the search is in.
    let mut line = from;
    let rest = bytes.get(from..).unwrap_or(&[]);
    for at in memchr::memchr_iter(b'\n', rest) {
        let at = from + at;
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        if before != Some(&b'\r') {
            return Err(Refusal::Malformed("a line ends without a carriage return"));
        }
        if at == line + 1 {
            return Ok(End::At(at + 1));
        }
        line = at + 1;
    }
    Ok(End::Beyond(line))
}

/// Whether a byte may stand in a token: RFC 9110, 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_however_it_arrives() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore";
        let end = head.len() - 4;
        assert_eq!(find_end(head, 0), Ok(End::At(end)));
        let mut from = 0;
        for len in 1..end {
            match find_end(&head[..len], from) {
                Ok(End::Beyond(next)) => from = next,
                other => panic!("{len}: {other:?}"),
            }
        }
        assert_eq!(find_end(&head[..end], from), Ok(End::At(end)));
    }

    #[test]
    fn a_bare_line_feed_is_seen_before_the_head_is_complete() {
        assert!(find_end(b"GET / HTTP/1.1\n", 0).is_err());
        assert!(find_end(b"GET / HTTP/1.1\r\nHost: a\n", 16).is_err());
        assert!(find_end(b"GET / HTTP/1.1\r\n\n", 16).is_err());
    }

    #[test]
    fn what_is_not_http_is_seen_at_its_first_byte() {
        assert_eq!(find_end(b"\x16\x03\x01", 0), Err(Refusal::NotHttp));
        assert_eq!(find_end(b"\0", 0), Err(Refusal::NotHttp));
        assert!(find_end(b"\r\nGET / HTTP/1.1\r\n\r\n", 0).is_err());
    }
}
