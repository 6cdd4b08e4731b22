//! Checks one HTTP/1.1 response as it comes in: status 200, a Content-Length
//! and the body that was expected, and nothing after it.

/// Larger than any response of the apps measured here.
pub(super) const LARGEST: usize = 1024;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Incomplete,
    Complete,
    /// Complete, and the server has closed the connection.
    Ended,
    /// Not the response that was expected.
    Wrong,
}

pub(super) fn check(received: &[u8], body: &[u8]) -> Progress {
    let Some(end) = find(received, b"\r\n\r\n") else {
        return if received.len() < LARGEST {
            Progress::Incomplete
        } else {
            Progress::Wrong
        };
    };
    let (head, rest) = received.split_at(end + 4);
    if !head.starts_with(b"HTTP/1.1 200 ") || content_length(head) != Some(body.len()) {
        return Progress::Wrong;
    }
    match rest.len().cmp(&body.len()) {
        std::cmp::Ordering::Less => Progress::Incomplete,
        std::cmp::Ordering::Equal if rest == body => Progress::Complete,
        _ => Progress::Wrong,
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

    #[test]
    fn every_prefix_is_incomplete_until_the_last_byte() {
        for end in 0..GOOD.len() {
            assert_eq!(check(&GOOD[..end], b"done"), Progress::Incomplete, "{end}");
        }
        assert_eq!(check(GOOD, b"done"), Progress::Complete);
    }

    #[test]
    fn what_is_not_the_answer_is_wrong() {
        for wrong in [
            &b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\ndone"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ndone!",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nDONE",
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone and more",
            b"HTTP/1.1 200 OK\r\n\r\ndone",
        ] {
            assert_eq!(
                check(wrong, b"done"),
                Progress::Wrong,
                "{}",
                wrong.escape_ascii()
            );
        }
        assert_eq!(check(&[b'x'; LARGEST], b"done"), Progress::Wrong);
    }
}
