//! What users wrote, in messages: short, and harmless on a terminal.

use std::ffi::OsStr;

/// More characters than this are cut off.
const MOST: usize = 160;

/// The text as it may stand in a message.
pub(super) fn told(text: impl AsRef<OsStr>) -> String {
    let text = text.as_ref().to_string_lossy();
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string()
}
