//! Where the last lines of a file begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memrchr_iter;

/// What is read at once.
const BLOCK: usize = 64 * 1024;

/// The last lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastLines {
    /// The offset at which they begin.
    pub(super) start: u64,
    /// How many fewer there are than were asked for.
    pub(super) missing: usize,
}

/// Finds the last `lines` lines of a file of `size` bytes. A last line that has no end counts as
/// one.
///
/// # Errors
/// Those of reading.
pub(super) fn find(file: &File, size: u64, lines: usize) -> io::Result<LastLines> {
    let found = |start, missing| Ok(LastLines { start, missing });
    if lines == 0 {
        return found(size, 0);
    }
    let mut left = lines;
    let mut end = size;
    let mut block = vec![0; BLOCK];
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let len = usize::try_from(end - start).unwrap_or(BLOCK);
        let Some(bytes) = block.get_mut(..len) else {
            break;
        };
        match file.read_exact_at(bytes, start) {
            Ok(()) => {}
            // It has been emptied meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return found(0, 0);
            }
            Err(error) => return Err(error),
        }
        for at in memrchr_iter(b'\n', bytes) {
            let after = start + at as u64 + 1;
            // The end of the last line begins none.
            if after == size {
                continue;
            }
            left -= 1;
            if left == 0 {
                return found(after, 0);
            }
        }
        end = start;
    }
    // The first line begins without an end before it.
    found(0, left - usize::from(size > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str, lines: usize) -> (&str, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        let file = File::open(&path).unwrap();
        let last = find(&file, text.len() as u64, lines).unwrap();
        let start = usize::try_from(last.start).unwrap();
        (text.get(start..).unwrap(), last.missing)
    }

    #[test]
    fn lines_are_counted_from_the_end() {
        for (text, lines, expected, missing) in [
            ("a\nb\nc\n", 2, "b\nc\n", 0),
            ("a\nb\nc", 2, "b\nc", 0),
            ("a\nb\n", 2, "a\nb\n", 0),
            ("a\nb\n", 5, "a\nb\n", 3),
            ("a", 5, "a", 4),
            ("\n\n\n", 2, "\n\n", 0),
            ("\n", 2, "\n", 1),
            ("a\n", 0, "", 0),
            ("", 3, "", 3),
        ] {
            let found = last(text, lines);
            assert_eq!(found, (expected, missing), "{text:?} {lines}");
        }
    }

    #[test]
    fn long_lines_cross_blocks() {
        let long = "x".repeat(BLOCK * 2 + 7);
        let text = format!("first\n{long}\n{long}\nlast\n");
        assert_eq!(last(&text, 1), ("last\n", 0));
        assert_eq!(last(&text, 2), (&*format!("{long}\nlast\n"), 0));
        assert_eq!(last(&text, 4), (&*text, 0));
    }
}
