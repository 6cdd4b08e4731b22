//! What a worker wrote, made harmless for a terminal: colours may pass, everything else that a
//! terminal would act on is shown as text.

use std::io::Write;

/// A colour sequence that is longer than this is none.
const LONGEST_COLOUR: usize = 64;

/// What may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// They are shown, and end with the line.
    Pass,
    /// They are left out.
    Drop,
}

/// Appends a line, without its end, as it may be shown.
pub(super) fn clean(line: &[u8], colours: Colours, out: &mut Vec<u8>) {
    let mut coloured = false;
    let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
    while !rest.is_empty() {
        if let Some(len) = colour(rest) {
            let (sequence, after) = rest.split_at(len);
            if colours == Colours::Pass {
                out.extend_from_slice(sequence);
                coloured = true;
            }
            rest = after;
            continue;
        }
        // Up to the next escape, which may begin a colour.
        let until = memchr::memchr(0x1b, rest.get(1..).unwrap_or(&[]));
        let (text, after) = rest.split_at(until.map_or(rest.len(), |at| at + 1));
        clean_text(text, out);
        rest = after;
    }
    if coloured {
        out.extend_from_slice(b"\x1b[0m");
    }
}

/// The length of the colour sequence (SGR, ECMA-48 8.3.117) that this begins with.
fn colour(bytes: &[u8]) -> Option<usize> {
    let parameters = bytes.strip_prefix(b"\x1b[")?;
    let len = parameters
        .iter()
        .take(LONGEST_COLOUR)
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'))
        .count();
    (parameters.get(len) == Some(&b'm')).then_some(len + 3)
}

fn clean_text(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        if valid.chars().any(acts) {
            for c in valid.chars() {
                write_char(c, out);
            }
        } else {
            out.extend_from_slice(valid.as_bytes());
        }
        for byte in chunk.invalid() {
            // Writing to memory does not fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

fn write_char(c: char, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = match c {
        '\r' => write!(out, "\\r"),
        c if acts(c) && c <= '\u{ff}' => write!(out, "\\x{:02x}", u32::from(c)),
        c if acts(c) => write!(out, "\\u{{{:x}}}", u32::from(c)),
        c => write!(out, "{c}"),
    };
}

/// Whether a terminal acts on it: control characters of both sets, and marks that turn the
/// direction of writing, or end the line.
fn acts(c: char) -> bool {
    match c {
        '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// Escapes what a terminal acts on in JSON text, where control characters of the first set are
/// escaped already.
pub(super) fn clean_json(json: &str, out: &mut Vec<u8>) {
    for c in json.chars() {
        // Writing to memory does not fail.
        let _ = if acts(c) {
            write!(out, "\\u{:04x}", u32::from(c))
        } else {
            write!(out, "{c}")
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(line: &[u8], colours: Colours) -> String {
        let mut out = Vec::new();
        clean(line, colours, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_but_colours_passes() {
        for (line, expected) in [
            (&b"plain \tt\xc3\xa4xt"[..], "plain \ttäxt"),
            (b"\x1b[31mred", "\x1b[31mred\x1b[0m"),
            (b"\x1b[38;5;12mx\x1b[0m", "\x1b[38;5;12mx\x1b[0m\x1b[0m"),
            (b"\x1b[4:3mwavy", "\x1b[4:3mwavy\x1b[0m"),
            (b"\x1b[2Jgone", "\\x1b[2Jgone"),
            (b"\x1b]0;title\x07", "\\x1b]0;title\\x07"),
            (b"\x1b[?1049h", "\\x1b[?1049h"),
            (b"\x1b[31", "\\x1b[31"),
            (b"\x1b\x1b[1mx", "\\x1b\x1b[1mx\x1b[0m"),
            (b"\xc2\x9b2J \x9b2J", "\\x9b2J \\x9b2J"),
            (b"over\rwritten\r", "over\\rwritten"),
            (b"\x08\x7f\x00", "\\x08\\x7f\\x00"),
            ("a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            (b"\xff\xfe", "\\xff\\xfe"),
            (b"", ""),
        ] {
            assert_eq!(cleaned(line, Colours::Pass), expected, "{line:?}");
        }
    }

    #[test]
    fn without_colours_they_are_left_out() {
        assert_eq!(cleaned(b"\x1b[31mred\x1b[0m", Colours::Drop), "red");
        let endless = [&b"\x1b["[..], &[b'1'; 100], b"m"].concat();
        assert!(cleaned(&endless, Colours::Drop).starts_with("\\x1b[1"));
    }

    #[test]
    fn json_stays_json() {
        let mut out = Vec::new();
        clean_json("{\"a\":\"\u{9b}\u{7f}x\"}", &mut out);
        assert_eq!(out, b"{\"a\":\"\\u009b\\u007fx\"}");
    }
}
