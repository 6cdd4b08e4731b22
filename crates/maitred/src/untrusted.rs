//! What must hold of any bytes that another process or a file hands to maitred, for the fuzz
//! targets. Each function takes some bytes, and panics where something does not hold.

use home::control;

/// A line on the control socket: reading never panics, and what is understood is written and read
/// again as the same.
///
/// # Panics
/// If that does not hold.
pub fn control_line(bytes: &[u8]) {
    control::read_any_line(bytes);
}

/// The text of a config file; its first byte chooses the format. Reading never panics, and either
/// gives apps or says what is wrong.
///
/// # Panics
/// If that does not hold.
pub fn config_file(bytes: &[u8]) {
    config::read_any_text(bytes);
}
