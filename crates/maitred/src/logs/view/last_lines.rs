//! Where the last lines of a file begin, found from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memrchr_iter;

/// What is read at once.
const BLOCK: usize = 64 * 1024;

/// The offset at which the last `lines` lines of a file of `size` bytes begin. A last line that
/// has no end counts as one.
///
/// # Errors
/// Those of reading.
pub(super) fn start_of(file: &File, size: u64, lines: usize) -> io::Result<u64> {
    if lines == 0 {
        return Ok(size);
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
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
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
                return Ok(after);
            }
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str, lines: usize) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        let file = File::open(&path).unwrap();
        let start = start_of(&file, text.len() as u64, lines).unwrap();
        text[usize::try_from(start).unwrap()..].to_owned()
    }

    #[test]
    fn lines_are_counted_from_the_end() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 5, "a\nb\n"),
            ("\n\n\n", 2, "\n\n"),
            ("a\n", 0, ""),
            ("", 3, ""),
        ] {
            assert_eq!(last(text, lines), expected, "{text:?} {lines}");
        }
    }

    #[test]
    fn long_lines_cross_blocks() {
        let long = "x".repeat(BLOCK * 2 + 7);
        let text = format!("first\n{long}\n{long}\nlast\n");
        assert_eq!(last(&text, 1), "last\n");
        assert_eq!(last(&text, 2), format!("{long}\nlast\n"));
        assert_eq!(last(&text, 4), text);
    }
}
