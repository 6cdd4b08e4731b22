//! Checks one HTTP/1.1 response as it comes in: status 200, a Content-Length
//! and the body that was expected, and nothing after it.

/// Longer than the head of any response of the apps measured here.
const LONGEST_HEAD: usize = 1024;

/// What the body of every response must be: the block, over and over, as far
/// as the length goes. So a large one can be compared without being kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    block: &'static [u8],
    len: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Incomplete,
    Complete,
    /// Complete, and the server has closed the connection.
    Ended,
    /// Not the response that was expected.
    Wrong,
}

/// How far a response has come.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What has come of the head while it is not complete.
    head: Vec<u8>,
    is_in_body: bool,
    /// Bytes of the body so far.
    body: usize,
}

impl Body {
    pub(crate) const fn text(text: &'static str) -> Self {
        Self {
            block: text.as_bytes(),
            len: text.len(),
        }
    }

    /// `block` again and again until it is `len` bytes long.
    pub(crate) const fn repeated(block: &'static [u8], len: usize) -> Self {
        Self { block, len }
    }

    /// Whether this is the part of the body that begins there.
    fn has_at(&self, mut at: usize, mut part: &[u8]) -> bool {
        if part.len() > self.len - at.min(self.len) {
            return false;
        }
        while !part.is_empty() {
            let block = &self.block[at % self.block.len()..];
            let len = block.len().min(part.len());
            if part[..len] != block[..len] {
                return false;
            }
            at += len;
            part = &part[len..];
        }
        true
    }
}

impl Reading {
    /// Forgets the last response.
    pub(super) fn restart(&mut self) {
        self.head.clear();
        self.is_in_body = false;
        self.body = 0;
    }

    /// Reads on.
    pub(super) fn take(&mut self, received: &[u8], body: &Body) -> Progress {
        if self.is_in_body {
            return self.take_body(received, body);
        }
        self.head.extend_from_slice(received);
        let Some(end) = find(&self.head, b"\r\n\r\n") else {
            return if self.head.len() < LONGEST_HEAD {
                Progress::Incomplete
            } else {
                Progress::Wrong
            };
        };
        let received = std::mem::take(&mut self.head);
        let (head, rest) = received.split_at(end + 4);
        self.is_in_body = true;
        let progress =
            if head.starts_with(b"HTTP/1.1 200 ") && content_length(head) == Some(body.len) {
                self.take_body(rest, body)
            } else {
                Progress::Wrong
            };
        // The room is used again.
        self.head = received;
        progress
    }

    /// What the server's end means here.
    pub(super) fn end(&self, body: &Body) -> Progress {
        if self.is_in_body && self.body == body.len {
            Progress::Ended
        } else {
            Progress::Wrong
        }
    }

    fn take_body(&mut self, part: &[u8], body: &Body) -> Progress {
        if !body.has_at(self.body, part) {
            return Progress::Wrong;
        }
        self.body += part.len();
        if self.body == body.len {
            Progress::Complete
        } else {
            Progress::Incomplete
        }
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = line.split_at(colon);
        if !name.eq_ignore_ascii_case(b"content-length") {
            return None;
        }
        std::str::from_utf8(&value[1..]).ok()?.trim().parse().ok()
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nDate: now\r\ncontent-length: 4\r\n\r\ndone";
    const DONE: Body = Body::text("done");

    #[test]
    fn every_prefix_is_incomplete_until_the_last_byte() {
        for end in 0..GOOD.len() {
            let mut reading = Reading::default();
            assert_eq!(reading.take(&GOOD[..end], &DONE), Progress::Incomplete);
            assert_eq!(reading.end(&DONE), Progress::Wrong);
            assert_eq!(
                reading.take(&GOOD[end..], &DONE),
                Progress::Complete,
                "{end}"
            );
            assert_eq!(reading.end(&DONE), Progress::Ended);
        }
    }

    #[test]
    fn one_response_follows_another() {
        let mut reading = Reading::default();
        for _ in 0..2 {
            assert_eq!(reading.take(GOOD, &DONE), Progress::Complete);
            reading.restart();
        }
    }

    #[test]
    fn a_large_body_comes_in_pieces_and_each_byte_counts() {
        let body = Body::repeated(b"abc", 10);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
        for (last, progress) in [(&b"ca"[..], Progress::Complete), (b"cb", Progress::Wrong)] {
            let mut reading = Reading::default();
            assert_eq!(reading.take(head, &body), Progress::Incomplete);
            assert_eq!(reading.take(b"abcabcab", &body), Progress::Incomplete);
            assert_eq!(reading.take(last, &body), progress);
        }
    }

    #[test]
    fn what_is_not_the_answer_is_wrong() {
        for wrong in [
            &b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\ndone"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndone!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nDONE",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone and more",
            b"HTTP/1.1 200 OK\r\n\r\ndone",
            &[b'x'; LONGEST_HEAD],
        ] {
            assert_eq!(
                Reading::default().take(wrong, &DONE),
                Progress::Wrong,
                "{}",
                wrong.escape_ascii()
            );
        }
    }
}
