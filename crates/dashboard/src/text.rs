//! Text that comes from apps.

/// Without colours, and so that what acts on a terminal or hides text is seen: a page shows text, but what
/// is copied from it may land in a terminal.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            rest = rest.get(length..).unwrap_or("");
            continue;
        }
        rest = rest.get(character.len_utf8()..).unwrap_or("");
        match character {
            '\t' => shown.push('\t'),
            hidden if hidden.is_control() || turns(hidden) => {
                shown.extend(hidden.escape_default());
            }
            other => shown.push(other),
        }
    }
    shown
}

/// How long the sequence is that sets colours here, if one does.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    let is_colour = parameters.get(end..)?.starts_with('m');
    is_colour.then_some(2 + end + 1)
}

/// Whether a character has others shown in another order than they stand there.
fn turns(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_the_rest_is_seen() {
        for (text, shown) in [
            ("a\tb", "a\tb"),
            ("\x1b[1;31mred\x1b[0m \x1b[mx", "red x"),
            ("a\x1b[2Jb\x1b]0;t\x07", "a\\u{1b}[2Jb\\u{1b}]0;t\\u{7}"),
            ("<script>", "<script>"),
            ("\u{9b}31m \u{202e}", "\\u{9b}31m \\u{202e}"),
            ("\x1b[3", "\\u{1b}[3"),
            ("ü\r\n", "ü\\r\\n"),
        ] {
            assert_eq!(plain(text), shown, "{text:?}");
        }
    }
}
