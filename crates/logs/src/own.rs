//! What a supervisor has to say of its app, line by line in its own log: each has its time before
//! it, as in `2026-03-07T09:05:03.042Z maitred: api-0 has exited`.

use jiff::Timestamp;

/// Sentences, each a line, as they stand in the log. In UTC: a supervisor needs to know of no time
/// zone, and who reads the log may live in another one.
pub fn stamped(sentences: &str, now: Timestamp) -> String {
    let time = now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
    let lines = sentences.lines();
    lines.map(|line| format!("{time} {line}\n")).collect()
}

/// When a line of the log was written, and what it says. One that is not ours (a panic's) has no
/// time.
pub(super) fn parts(line: &[u8]) -> (Option<Timestamp>, &[u8]) {
    let space = memchr::memchr(b' ', line);
    let (at, rest) = match space.and_then(|at| line.split_at_checked(at)) {
        Some((time, rest)) => {
            let time = std::str::from_utf8(time).ok();
            (time.and_then(|it| it.parse().ok()), rest.trim_ascii_start())
        }
        None => (None, line),
    };
    let said = if at.is_some() { rest } else { line };
    (at, said.strip_prefix(b"maitred: ").unwrap_or(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let now: Timestamp = "2026-03-07T09:05:03.042Z".parse().unwrap();
        let log = stamped("maitred: one\nmaitred: two words\n", now);
        let read: Vec<_> = log.lines().map(|line| parts(line.as_bytes())).collect();
        assert_eq!(read, [(Some(now), &b"one"[..]), (Some(now), b"two words")]);
    }

    #[test]
    fn what_has_no_time_is_read_too() {
        for line in ["maitred: earlier", "thread 'main' panicked", "", " "] {
            let said = line.strip_prefix("maitred: ").unwrap_or(line);
            assert_eq!(parts(line.as_bytes()), (None, said.as_bytes()));
        }
    }
}
