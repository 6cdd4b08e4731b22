//! The same again and again: at a terminal in the place of what was there, else one below the other.

use std::io::{ErrorKind, IsTerminal, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context;
use rustix::termios::tcgetwinsize;

/// The seconds between two looks where the user does not say.
pub(super) const USUAL: &str = "1";

/// Shows what `look` finds, every so many seconds, until nobody reads it any more.
///
/// # Errors
/// Those of `look`, and if the text cannot be written.
pub(super) fn watch(
    every: NonZeroU32,
    mut look: impl FnMut() -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let is_terminal = out.is_terminal();
    let mut first = true;
    loop {
        let text = look()?;
        let shown = match is_terminal {
            true => {
                let size = tcgetwinsize(&out).ok();
                let rows = size.map_or(0, |size| usize::from(size.ws_row));
                screen(&text, rows, first)
            }
            false if first => text,
            false => format!("\n{text}"),
        };
        match out.write_all(shown.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("writing to standard output")?,
        }
        first = false;
        std::thread::sleep(Duration::from_secs(every.get().into()));
    }
}

/// What makes a terminal of so many rows show a text from its top, and nothing else. The last row is for
/// the cursor. It is cleared once, and then written over: so it does not flicker.
fn screen(text: &str, rows: usize, first: bool) -> String {
    let lines: Vec<_> = text.lines().collect();
    let room = match rows {
        0 => lines.len(),
        rows => rows.saturating_sub(1),
    };
    let mut shown = String::from(if first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    let fits = lines.len() <= room;
    let kept = if fits {
        lines.len()
    } else {
        room.saturating_sub(1)
    };
    for line in lines.iter().take(kept) {
        shown.push_str(line);
        shown.push_str("\x1b[K\n");
    }
    if !fits {
        shown.push_str(&format!("… {} more\x1b[K\n", lines.len() - kept));
    }
    shown.push_str("\x1b[J");
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_the_screen() {
        for (rows, expected) in [
            (0, "a\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J"),
            (4, "a\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J"),
            (3, "a\x1b[K\n… 2 more\x1b[K\n\x1b[J"),
            (1, "… 3 more\x1b[K\n\x1b[J"),
        ] {
            let shown = screen("a\nb\nc\n", rows, false);
            assert_eq!(shown.strip_prefix("\x1b[H"), Some(expected), "{rows}");
        }
        assert_eq!(screen("", 9, true), "\x1b[2J\x1b[H\x1b[J");
    }
}
